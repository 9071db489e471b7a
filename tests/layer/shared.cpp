#include "moe/layer/shared.hpp"

#include "experts/around.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/null_bank.hpp"
#include "moe/layer/averaged_shared.hpp"
#include "moe/layer/coefficient_shared.hpp"
#include "moe/layer/gated_shared.hpp"

namespace {

const auto routed = []<class T>(std::type_identity<T>) {
    return moe::swiglu_bank<T>{{.features = 5, .hidden = 3, .experts = 3}};
};
const auto nothing_routed = []<class T>(std::type_identity<T>) {
    return moe::null_bank<T>{{.features = 5, .experts = 3}};
};
template <class T>
auto shared_pair() {
    return moe::shared{moe::gelu_bank<T>{{.features = 5, .hidden = 4, .experts = 2, .bias = true, .seed = 9}}};
}

}  // namespace

TEST_CASE("gradients of shared experts equal central differences") {
    check_bank_gradients(routed, 2, shared_pair<double>());
    check_bank_gradients(nothing_routed, 1, moe::shared{moe::banks{routed(std::type_identity<double>{})}});
}

TEMPLATE_LIST_TEST_CASE("shared experts keep the laws of layers, masked tokens get zeros", "", every_backend) {
    check_bank_laws<TestType>(routed, 2, shared_pair<typename TestType::scalar>());
}

TEMPLATE_LIST_TEST_CASE("shared experts serve every token with weight 1, whatever the router says", "", every_backend) {
    using T = typename TestType::scalar;
    // A router with one expert and all tokens on it computes the same thing with weight 1.
    auto beside = layer_around<T>(nothing_routed, 1,
                                  moe::shared{moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 1}}});
    moe::layer alone{small_router<T>(5, 1, 1), moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 1}}};
    alone.experts() = beside.template part<2>().bank();
    const auto x = moe::testing::random_matrix<T>(6, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    CHECK(moe::testing::same_bits(moe::testing::infer(backend, beside, in), moe::testing::infer(backend, alone, in)));
}

TEST_CASE("shared experts of other features or outputs are refused by name") {
    const auto bank = routed(std::type_identity<float>{});
    CHECK_THROWS_WITH(
        moe::layer(small_router<float>(5, 3), bank, moe::shared{moe::null_bank<float>{{.features = 4, .experts = 1}}}),
        "moe: shared: features: wanted 5, got 4");
    CHECK_THROWS_WITH(moe::layer(small_router<float>(5, 3), bank,
                                 moe::shared{moe::null_bank<float>{{.features = 5, .experts = 1, .outputs = 2}}}),
                      "moe: shared: outputs: wanted 5, got 2");
}

TEST_CASE("gradients of gated, averaged and mixed shared experts equal central differences") {
    const auto two = [] {
        return moe::gelu_bank<double>{{.features = 5, .hidden = 4, .experts = 2, .bias = true, .seed = 9}};
    };
    check_bank_gradients(routed, 2, moe::gated_shared{two()});
    check_bank_gradients(routed, 2, moe::averaged_shared{two()});
    check_bank_gradients(routed, 2, moe::coefficient_shared{two()});
    check_bank_gradients(routed, 2, moe::averaged_shared{moe::null_bank<double>{{.features = 5, .experts = 1}}});
}

TEMPLATE_LIST_TEST_CASE("gated, averaged and mixed shared experts keep the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto two = [] {
        return moe::gelu_bank<T>{{.features = 5, .hidden = 4, .experts = 2, .bias = true, .seed = 9}};
    };
    check_bank_laws<TestType>(routed, 2, moe::gated_shared{two()});
    check_bank_laws<TestType>(routed, 2, moe::averaged_shared{two()});
    check_bank_laws<TestType>(routed, 2, moe::coefficient_shared{two()});
}

TEMPLATE_LIST_TEST_CASE("shared experts join as the formulas say", "", every_backend) {
    using T = typename TestType::scalar;
    const auto router = small_router<T>(5, 3);
    const auto bank = routed(std::type_identity<T>{});
    const moe::gelu_bank<T> always{{.features = 5, .hidden = 4, .experts = 1, .seed = 9}};
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    const auto run = [&](const auto&... more) {
        return moe::testing::infer(backend, moe::layer{router, bank, more...}, in);
    };
    const auto r = run();
    const auto both = run(moe::shared{always});
    const moe::gated_shared gated{always, {.seed = 1}};
    const moe::coefficient_shared mixed{always, {.seed = 2}};
    const auto with_gate = run(gated);
    const auto averaged = run(moe::averaged_shared{always});
    const auto with_mix = run(mixed);
    for (moe::index_t t = 0; t < 4; ++t) {
        double z = 0, c[2] = {0, 0};
        for (moe::index_t j = 0; j < 5; ++j) {
            z += double(x(t, j)) * double(gated.gate.weight(0, 0, j));
            c[0] += double(x(t, j)) * double(mixed.coefficient.weight(0, 0, j));
            c[1] += double(x(t, j)) * double(mixed.coefficient.weight(0, 1, j));
        }
        const double share = 1 / (1 + std::exp(c[1] - c[0]));
        for (moe::index_t j = 0; j < 5; ++j) {
            const double routed_part = double(r(t, j));
            const double shared_part = double(both(t, j)) - routed_part;
            CHECK(double(with_gate(t, j)) ==
                  Approx(routed_part + shared_part / (1 + std::exp(-z))).epsilon(1e-4).margin(1e-6));
            CHECK(double(averaged(t, j)) == Approx((routed_part + shared_part) / 2).epsilon(1e-4).margin(1e-6));
            CHECK(double(with_mix(t, j)) ==
                  Approx(share * routed_part + (1 - share) * shared_part).epsilon(1e-4).margin(1e-6));
        }
    }
}

TEMPLATE_LIST_TEST_CASE("a masked token's NaN reaches no output and no gradient of shared experts", "", every_backend) {
    using T = typename TestType::scalar;
    auto x = moe::testing::random_matrix<T>(3, 5, 8);
    x(1, 0) = std::numeric_limits<T>::quiet_NaN();
    const std::uint8_t mask[] = {1, 0, 1};
    moe::batch<T> in;
    in.x = x;
    in.mask = mask;
    typename TestType::backend backend;
    const moe::gelu_bank<T> always{{.features = 5, .hidden = 4, .experts = 1, .seed = 9}};
    const auto check = [&](const auto& more) {
        const moe::layer layer{small_router<T>(5, 3), nothing_routed(std::type_identity<T>{}), more};
        auto trained = moe::testing::train_once(backend, layer, in);
        for (const T v : trained.y.span()) CHECK(std::isfinite(v));
        moe::visit_parameters(
            [](const moe::parameter_name& name, auto&, auto& g) {
                INFO(name.text());
                if (name.text().rfind("router", 0) == 0) return;  // the router's own contract
                for (const T v : moe::flat(g)) CHECK(std::isfinite(v));
            },
            more, std::get<2>(trained.gradient));
    };
    check(moe::shared{always});
    check(moe::gated_shared{always});
    check(moe::averaged_shared{always});
    check(moe::coefficient_shared{always});
}
