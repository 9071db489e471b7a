#include "moe/experts/lora_bank.hpp"

#include "experts/around.hpp"
#include "moe/experts/bank_sum.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/frozen.hpp"

namespace {

template <class Activation>
auto base(bool bias = true) {
    return [=]<class T>(std::type_identity<T>) {
        return moe::ffn_bank<T, Activation>{{.features = 5, .hidden = 6, .experts = 3, .bias = bias, .outputs = 4}};
    };
}
template <class Activation>
auto adapted(bool up = true, bool down = true) {
    return [=]<class T>(std::type_identity<T> t) {
        auto bank = base<Activation>()(t);
        randomise(bank);
        return moe::lora_bank<T, Activation>{bank, {.rank = 2, .alpha = 3.0, .gate = up, .up = up, .down = down}};
    };
}
const auto whole_expert = []<class T>(std::type_identity<T> t) {
    auto bank = base<moe::gated<moe::silu>>()(t);
    randomise(bank);
    return moe::bank_sum{moe::frozen{bank},
                         moe::low_rank_bank<T>{{.features = 5, .rank = 2, .experts = 3, .alpha = 4.0, .outputs = 4}}};
};

template <class T>
moe::batch<T> of(const moe::matrix<T>& x) {
    moe::batch<T> in;
    in.x = x;
    return in;
}

}  // namespace

TEST_CASE("a LoRA bank's gradients equal central differences, in the adapters, x and the router") {
    check_bank_gradients(adapted<moe::gated<moe::silu>>());
    check_bank_gradients(adapted<moe::gelu>(true, false));
    check_bank_gradients(adapted<moe::gelu>(false, true));
    check_bank_gradients(whole_expert);
}

TEMPLATE_LIST_TEST_CASE("a LoRA bank keeps the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(adapted<moe::gated<moe::silu>>());
    check_bank_laws<TestType>(whole_expert);
}

TEMPLATE_LIST_TEST_CASE("a LoRA bank computes what the bank with merged weights computes", "", every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(adapted<moe::gated<moe::silu>>(), 2);
    const moe::layer merged{layer.router(), layer.experts().merged()};
    const moe::layer plain{layer.router(), layer.experts().bank};
    const auto x = moe::testing::random_matrix<T>(6, 5, 8);
    typename TestType::backend backend;
    const auto y = moe::testing::infer(backend, layer, of(x));
    CHECK(relative_error(y.view(), moe::testing::infer(backend, merged, of(x)).view()) <= tolerance<T>::value);
    CHECK(relative_error(y.view(), moe::testing::infer(backend, plain, of(x)).view()) > 0.01);
}

TEMPLATE_LIST_TEST_CASE("a fresh adapter changes nothing", "", every_backend) {
    using T = typename TestType::scalar;
    const std::type_identity<T> t;
    const auto lora = adapted<moe::gated<moe::silu>>()(t);
    const auto sum = whole_expert(t);
    const auto router = small_router<T>(5, 3);
    const auto x = moe::testing::random_matrix<T>(6, 5, 8);
    typename TestType::backend backend;
    const auto y = moe::testing::infer(backend, moe::layer{router, lora.bank}, of(x));
    CHECK(relative_error(moe::testing::infer(backend, moe::layer{router, lora}, of(x)).view(), y.view()) <=
          tolerance<T>::value);
    CHECK(moe::testing::same_bits(moe::testing::infer(backend, moe::layer{router, sum}, of(x)),
                                  moe::testing::infer(backend, moe::layer{router, sum.template bank<0>()}, of(x))));
}

TEST_CASE("a LoRA bank trains its adapters only and shows the frozen weights as state") {
    auto bank = adapted<moe::gated<moe::silu>>()(std::type_identity<float>{});
    std::string trained, saved;
    moe::visit_parameters([&](const moe::parameter_name& n, auto&) { trained += n.text() + " "; }, bank);
    moe::visit_state([&](const moe::parameter_name& n, auto&) { saved += n.text() + " "; }, bank);
    CHECK(trained == "gate_a gate_b up_a up_b down_a down_b ");
    CHECK(saved == "gate gate_bias up up_bias down down_bias ");
    STATIC_REQUIRE(!std::is_same_v<moe::gradient_t<decltype(bank)>, decltype(bank)>);
}

TEST_CASE("a frozen bank has no gradient, its weights are state, and x and router still learn") {
    auto bank = moe::frozen{base<moe::gated<moe::silu>>()(std::type_identity<double>{})};
    STATIC_REQUIRE(std::is_same_v<moe::gradient_t<decltype(bank)>, moe::no_gradient>);
    STATIC_REQUIRE(!moe::has_parameters<decltype(bank)>);
    std::string saved;
    moe::visit_state([&](const moe::parameter_name& n, auto&) { saved += n.text() + " "; }, bank);
    CHECK(saved == "gate gate_bias up up_bias down down_bias ");
    check_bank_gradients([]<class T>(std::type_identity<T> t) { return moe::frozen{base<moe::gelu>()(t)}; });
    check_bank_gradients([]<class T>(std::type_identity<T> t) {
        return moe::banks{
            moe::frozen{moe::banks{base<moe::gelu>()(t), moe::bank_sum{base<moe::relu>()(t), base<moe::silu>()(t)}}},
            base<moe::silu>()(t)};
    });
}

TEST_CASE("a frozen bank's dx has the bits of the trained bank's") {
    const auto bank = base<moe::gated<moe::silu>>()(std::type_identity<double>{});
    const auto router = small_router<double>(5, 3);
    const auto x = moe::testing::random_matrix<double>(6, 5, 8);
    moe::reference backend;
    const auto frozen = moe::testing::train_once(backend, moe::layer{router, moe::frozen{bank}}, of(x));
    const auto trained = moe::testing::train_once(backend, moe::layer{router, bank}, of(x));
    CHECK(moe::testing::same_bits(frozen.y, trained.y));
    CHECK(moe::testing::same_bits(frozen.dx, trained.dx));
}

TEST_CASE("low-rank options are refused by name") {
    const auto bank = base<moe::relu>()(std::type_identity<float>{});
    using lora = moe::lora_bank<float, moe::relu>;
    CHECK_THROWS_WITH(lora(bank, {.rank = 0, .alpha = 1}), "moe: lora_bank.rank: wanted at least 1, got 0");
    CHECK_THROWS_WITH(lora(bank, {.rank = 1, .alpha = 0}),
                      "moe: lora_bank.alpha: wanted a number above 0, got 0.000000");
    CHECK_THROWS_WITH(moe::low_rank_bank<float>({.features = 2, .rank = 1, .experts = 1, .alpha = -1}),
                      "moe: low_rank_bank.alpha: wanted a number above 0, got -1.000000");
    CHECK_THROWS_WITH(moe::bank_sum(bank, moe::low_rank_bank<float>(
                                              {.features = 5, .rank = 1, .experts = 2, .alpha = 1, .outputs = 4})),
                      "moe: bank_sum: bank 1 experts: wanted 3 (bank 0), got 2");
}
