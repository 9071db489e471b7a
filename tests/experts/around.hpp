// tests/experts: a small layer around a bank, and what every bank is tested for
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/cpu.hpp"
#include "moe/backend/reference.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

// Fills a tensor with normal numbers; the padding of panels stays 0.
template <class Tensor>
void fill_random(Tensor& tensor, std::uint64_t seed, double scale) {
    const moe::random_stream random(seed, moe::stream_id("tests.fill_random"));
    const auto flat = moe::flat(tensor);
    for (std::size_t i = 0; i < flat.size(); ++i) {
        using T = std::remove_reference_t<decltype(flat[i])>;
        flat[i] = static_cast<T>(scale * random.normal(i, 0));
    }
}
template <class T>
void fill_random(moe::panels<T>& w, std::uint64_t seed, double scale) {
    const moe::random_stream random(seed, moe::stream_id("tests.fill_random"));
    for (moe::index_t g = 0; g < w.groups(); ++g) {
        for (moe::index_t n = 0; n < w.outputs(); ++n) {
            for (moe::index_t k = 0; k < w.inputs(); ++k) {
                w(g, n, k) = static_cast<T>(scale * random.normal(std::uint64_t(g * 1000 + n), std::uint32_t(k)));
            }
        }
    }
}

// No parameter stays at a start value of 0, where its gradient might not matter.
template <class Part>
void randomise(Part& part, double scale = 0.4) {
    std::uint64_t seed = 100;
    moe::visit_parameters([&](const moe::parameter_name&, auto& tensor) { fill_random(tensor, ++seed, scale); }, part);
}

template <class T>
auto small_router(moe::index_t features, moe::index_t experts, moe::index_t k = 2) {
    return moe::router{moe::linear_gate<T>{{.features = features, .experts = experts, .seed = 5}}, moe::softmax{},
                       moe::top_k{.k = k}};
}

// make(std::type_identity<T>) returns a bank; `more` are further parts of the layer (a combine).
template <class T, class Make, class... More>
auto layer_around(const Make& make, moe::index_t k, const More&... more) {
    auto bank = make(std::type_identity<T>{});
    auto router = small_router<T>(bank.features(), bank.experts(), k);
    moe::layer layer{router, std::move(bank), more...};
    randomise(layer);
    return layer;
}

template <class Make, class... More>
void check_bank_gradients(const Make& make, moe::index_t k = 2, const More&... more) {
    auto layer = layer_around<double>(make, k, more...);
    const auto x = moe::testing::random_matrix<double>(6, layer.features(), 1);
    moe::batch<double> in;
    in.x = x;
    const std::uint8_t mask[] = {1, 1, 0, 1, 1, 1};
    in.mask = mask;
    moe::reference plain;
    moe::cpu cpu{{.threads = 2}};
    const auto check = [&](auto& backend) {
        const auto report = moe::testing::check_gradients(backend, layer, in);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
        CHECK(report.nonzero);
        CHECK(report.checked > 10);
    };
    check(plain);
    check(cpu);
}

template <class On, class Make, class... More>
void check_bank_laws(const Make& make, moe::index_t k = 2, const More&... more) {
    using T = typename On::scalar;
    const auto layer = layer_around<T>(make, k, more...);
    const auto x = moe::testing::random_matrix<T>(7, layer.features(), 2);
    typename On::backend backend;
    moe::batch<T> in;
    in.x = x;
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
    CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
    const std::uint8_t mask[] = {1, 0, 1, 1, 0, 1, 1};
    in.mask = mask;
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    const auto y = moe::testing::infer(backend, layer, in);
    for (moe::index_t j = 0; j < y.cols(); ++j) {
        CHECK(y(1, j) == T(0));
        CHECK(y(4, j) == T(0));
    }
    if constexpr (std::is_same_v<typename On::backend, moe::cpu>) {
        moe::cpu one{{.threads = 1}};
        moe::cpu three{{.threads = 3}};
        CHECK(moe::testing::same_on(one, three, layer, in) == "");
    }
    moe::batch<T> empty;
    empty.x = x.view().middle_rows(0, 0);
    CHECK(moe::testing::infer(backend, layer, empty).size() == 0);
    auto trained = moe::testing::train_once(backend, layer, empty);
    moe::visit_parameters(
        [](const moe::parameter_name&, const auto&, auto& gradient) {
            for (const T g : moe::flat(gradient)) CHECK(g == T(0));
        },
        layer, trained.gradient);
}

// Sends slot i of token t to experts[t * k + i] with the weights of the router; -1 leaves a slot empty.
template <class T>
struct sent {
    std::vector<moe::index_t> offset, expert;

    sent(moe::index_t k, std::vector<moe::index_t> experts) : expert(std::move(experts)) {
        for (std::size_t at = 0; at <= expert.size(); at += std::size_t(k)) offset.push_back(moe::index_t(at));
    }
    moe::batch<T> batch(moe::matrix_view<const T> x) const {
        moe::batch<T> in;
        in.x = x;
        in.replay_offset = offset;
        in.replay_expert = expert;
        return in;
    }
};
