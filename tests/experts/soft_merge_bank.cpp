#include "moe/experts/soft_merge_bank.hpp"

#include "experts/around.hpp"
#include "moe/experts/banks.hpp"

namespace {

template <class Activation>
auto merged(bool bias) {
    return [=]<class T>(std::type_identity<T>) {
        return moe::soft_merge_bank{moe::ffn_bank<T, Activation>{
            {.features = 5, .hidden = 4, .experts = 3, .bias = bias, .seed = 6, .outputs = 2}}};
    };
}

// The weighted sum of the experts' weights of one token, as a bank of one expert.
template <class T, class Bank>
Bank merge_by_hand(const Bank& bank, const moe::routes<T>& routes, moe::index_t t) {
    Bank one{{.features = bank.features(),
              .hidden = bank.hidden(),
              .experts = 1,
              .bias = bank.up_bias.size() != 0,
              .outputs = bank.outputs()}};
    const auto add = [&](auto& to, const auto& from, moe::index_t e, T w) {
        for (moe::index_t n = 0; n < from.outputs(); ++n) {
            for (moe::index_t k = 0; k < from.inputs(); ++k) to(0, n, k) += w * from(e, n, k);
        }
    };
    const auto add_bias = [&](auto& to, const auto& from, moe::index_t e, T w) {
        for (moe::index_t n = 0; n < from.cols(); ++n) to(0, n) += w * from(e, n);
    };
    for (T& w : one.gate.span()) w = 0;
    for (T& w : one.up.span()) w = 0;
    for (T& w : one.down.span()) w = 0;
    for (moe::index_t slot = routes.begin(t); slot < routes.end(t); ++slot) {
        const moe::index_t e = routes.expert[std::size_t(slot)];
        const T w = routes.weight[std::size_t(slot)];
        add(one.gate, bank.gate, e, w);
        add(one.up, bank.up, e, w);
        add(one.down, bank.down, e, w);
        add_bias(one.gate_bias, bank.gate_bias, e, w);
        add_bias(one.up_bias, bank.up_bias, e, w);
        add_bias(one.down_bias, bank.down_bias, e, w);
    }
    return one;
}

}  // namespace

TEST_CASE("a soft merge bank's gradients equal central differences") {
    check_bank_gradients(merged<moe::gated<moe::silu>>(true), 3);
    check_bank_gradients(merged<moe::gelu>(false), 2);
    check_bank_gradients(
        []<class T>(std::type_identity<T> t) {
            return moe::banks{merged<moe::gelu>(true)(t), merged<moe::gated<moe::silu>>(false)(t)};
        },
        4);
}

TEMPLATE_LIST_TEST_CASE("a soft merge bank keeps the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(merged<moe::gated<moe::silu>>(true));
}

TEMPLATE_LIST_TEST_CASE("a soft merge bank runs one expert per token whose weights are the routes' weighted sum", "",
                        every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(merged<moe::gated<moe::silu>>(true), 2);
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    const auto one_expert = small_router<T>(5, 1, 1);
    for (moe::index_t t = 0; t < 4; ++t) {
        const moe::layer alone{one_expert, merge_by_hand(layer.experts().bank, s.routes, t)};
        moe::batch<T> token;
        token.x = x.view().middle_rows(t, 1);
        const auto wanted = moe::testing::infer(backend, alone, token);
        CHECK(relative_error(y.view().middle_rows(t, 1), wanted.view()) <= tolerance<T>::value);
    }
}
