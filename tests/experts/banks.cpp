#include "moe/experts/banks.hpp"

#include "experts/around.hpp"
#include "moe/experts/constant_bank.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/experts/null_bank.hpp"

namespace {

// Ids 0, 1: SwiGLU of width 7; 2: null; 3: identity; 4 to 6: plain GELU of width 3 with biases; 7: constant.
const auto mixed = []<class T>(std::type_identity<T>) {
    return moe::banks{moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 2}},
                      moe::null_bank<T>{{.features = 5, .experts = 1}},
                      moe::identity_bank<T>{{.features = 5, .experts = 1}},
                      moe::gelu_bank<T>{{.features = 5, .hidden = 3, .experts = 3, .bias = true, .seed = 4}},
                      moe::constant_bank<T>{{.features = 5, .experts = 1}}};
};

}  // namespace

TEST_CASE("gradients of banks side by side equal central differences") { check_bank_gradients(mixed, 4); }

TEMPLATE_LIST_TEST_CASE("banks side by side keep the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(mixed, 3);
}

TEMPLATE_LIST_TEST_CASE("one bank cut in two gives the bits of the whole bank", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::bank_options whole{.features = 5, .hidden = 6, .experts = 5, .bias = true};
    moe::bank_options low = whole;
    moe::bank_options high = whole;
    low.experts = 2;
    high.experts = 3;
    moe::layer together{small_router<T>(5, 5, 3), moe::swiglu_bank<T>{whole}};
    moe::layer apart{small_router<T>(5, 5, 3), moe::banks{moe::swiglu_bank<T>{low}, moe::swiglu_bank<T>{high}}};
    const auto copy = [](const auto& from, moe::index_t from_group, auto& to, moe::index_t group) {
        moe::matrix<T> m(from.outputs(), from.inputs());
        from.read(from_group, m.view());
        to.assign(group, m.view());
    };
    const auto hand_over = [&](auto& bank, moe::index_t first) {
        for (moe::index_t e = 0; e < bank.experts(); ++e) {
            copy(together.experts().gate, first + e, bank.gate, e);
            copy(together.experts().up, first + e, bank.up, e);
            copy(together.experts().down, first + e, bank.down, e);
        }
    };
    hand_over(apart.experts().template bank<0>(), 0);
    hand_over(apart.experts().template bank<1>(), 2);
    const auto x = moe::testing::random_matrix<T>(9, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    const auto a = moe::testing::train_once(backend, together, in);
    const auto b = moe::testing::train_once(backend, apart, in);
    CHECK(moe::testing::same_bits(a.y, b.y));
    CHECK(relative_error(b.dx.view(), a.dx.view()) <= tolerance<T>::value);
    const auto& g = std::get<1>(a.gradient).down;
    const auto& h = std::get<1>(std::get<1>(b.gradient)).down;
    for (moe::index_t n = 0; n < 5; ++n) CHECK(g(4, n, 3) == h(2, n, 3));
}

TEST_CASE("banks name their parameters by position") {
    auto bank = mixed(std::type_identity<float>{});
    std::string names;
    moe::visit_parameters([&](const moe::parameter_name& name, auto&) { names += name.text() + " "; }, bank);
    CHECK(names == "0.gate 0.gate_bias 0.up 0.up_bias 0.down 0.down_bias 3.up 3.up_bias 3.down 3.down_bias 4.value ");
}

TEST_CASE("banks of different features or outputs are refused by name") {
    const moe::null_bank<float> narrow{{.features = 4, .experts = 1}};
    const moe::null_bank<float> wide{{.features = 5, .experts = 1}};
    const moe::null_bank<float> other{{.features = 4, .experts = 1, .outputs = 3}};
    CHECK_THROWS_WITH(moe::banks(narrow, wide), "moe: banks: bank 1 features: wanted 4 (bank 0), got 5");
    CHECK_THROWS_WITH(moe::banks(narrow, narrow, other), "moe: banks: bank 2 outputs: wanted 4 (bank 0), got 3");
}
