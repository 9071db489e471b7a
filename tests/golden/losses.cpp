// tests/golden: balance losses and z-loss, value and gradient by the logits, against those of transformers
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "moe/train/load_balance.hpp"
#include "moe/train/z_loss.hpp"
#include "settings.hpp"

namespace {

using golden::index;

/// A layer whose gate passes x on as the logits; with dy = 0 its dx is the gradient of the losses by the logits.
template <class T>
auto pass_through(moe::index_t experts, moe::index_t k) {
    moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = experts, .experts = experts}}, moe::softmax{}, moe::top_k{.k = k}},
        moe::swiglu_bank<T>{{.features = experts, .hidden = 3, .experts = experts}}};
    auto& weight = layer.router().template step<0>().weight;
    for (moe::index_t i = 0; i < experts; ++i) {
        for (moe::index_t j = 0; j < experts; ++j) weight(0, i, j) = i == j ? T(1) : T(0);
    }
    return layer;
}

template <class Setting, class Loss>
void check_loss(const golden::file& g, const std::vector<double>& logits, const std::vector<double>& d_logits,
                moe::index_t k, const Loss& loss, moe::batch<typename Setting::scalar> in) {
    using T = typename Setting::scalar;
    const moe::index_t experts = index(g, "experts"), tokens = index(logits.size()) / experts;
    const auto layer = pass_through<T>(experts, k);
    typename Setting::backend backend;
    const std::vector<T> x(logits.begin(), logits.end()), zero(x.size());
    std::vector<T> y(x.size()), dx(x.size(), std::numeric_limits<T>::quiet_NaN());
    in.x = {x.data(), tokens, experts};
    moe::tape<T> tape;
    layer.forward(backend, in, {y.data(), tokens, experts}, tape);
    CHECK(loss(backend, tape) == Approx(g["loss"].values[0]).epsilon(tolerance<T>::value));
    auto gradient = layer.make_gradient();
    layer.backward(backend, {zero.data(), tokens, experts}, tape, {dx.data(), tokens, experts}, gradient);
    CHECK(relative_error(moe::matrix_view<const T>(dx.data(), tokens, experts),
                         moe::matrix_view<const double>(d_logits.data(), tokens, experts)) <= tolerance<T>::value);
}

std::vector<std::uint8_t> mask_of(const golden::file& g, int times) {
    std::vector<std::uint8_t> mask;
    for (int i = 0; i < times && g.has("mask"); ++i) {
        for (const double live : g["mask"].values) mask.push_back(live != 0);
    }
    return mask;
}

constexpr moe::load_balance mixtral_loss = {.from = moe::probabilities::softmax_of_logits,
                                            .divide_by = moe::load_normaliser::tokens};

}  // namespace

TEMPLATE_LIST_TEST_CASE("load balance by tokens is the loss of the Mixtral family, with and without a mask", "[golden]",
                        golden::all_settings) {
    for (const char* name : {"loss_top_1", "loss_top_k", "loss_top_k_masked"}) {
        INFO(name);
        const golden::file g(golden::data, name);
        const auto mask = mask_of(g, 1);
        moe::batch<typename TestType::scalar> in;
        in.mask = mask;
        check_loss<TestType>(g, g["logits"].values, g["d_logits"].values, index(g, "k"), mixtral_loss, in);
    }
}

TEMPLATE_LIST_TEST_CASE("the loss of the Mixtral family over several layers is that of all their tokens in one batch",
                        "[golden]", golden::all_settings) {
    const golden::file g(golden::data, "loss_top_k_layers");
    std::vector<double> logits, d_logits;
    for (const char* layer : {"0", "1", "2"}) {
        const auto& z = g[std::string("logits_") + layer].values;
        const auto& d = g[std::string("d_logits_") + layer].values;
        logits.insert(logits.end(), z.begin(), z.end());
        d_logits.insert(d_logits.end(), d.begin(), d.end());
    }
    const auto mask = mask_of(g, 3);
    moe::batch<typename TestType::scalar> in;
    in.mask = mask;
    check_loss<TestType>(g, logits, d_logits, index(g, "k"), mixtral_loss, in);
}

TEMPLATE_LIST_TEST_CASE("load balance by routes, averaged over sequences, is the loss of Switch", "[golden]",
                        golden::all_settings) {
    const golden::file g(golden::data, "loss_switch");
    const std::vector<moe::index_t> sequence = {0, 6, 12};
    moe::batch<typename TestType::scalar> in;
    in.sequence = sequence;
    check_loss<TestType>(g, g["logits"].values, g["d_logits"].values, 1,
                         moe::load_balance{.scope = moe::loss_scope::sequence}, in);
}

TEMPLATE_LIST_TEST_CASE("the router z-loss is that of Switch", "[golden]", golden::all_settings) {
    const golden::file g(golden::data, "loss_router_z");
    check_loss<TestType>(g, g["logits"].values, g["d_logits"].values, 2, moe::z_loss{}, {});
}
