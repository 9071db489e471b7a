#include "moe/experts/null_bank.hpp"

#include "experts/around.hpp"
#include "moe/experts/constant_bank.hpp"
#include "moe/experts/identity_bank.hpp"

namespace {

const auto nulls = []<class T>(std::type_identity<T>) {
    return moe::null_bank<T>{{.features = 5, .experts = 3, .outputs = 4}};
};
const auto identities = []<class T>(std::type_identity<T>) {
    return moe::identity_bank<T>{{.features = 5, .experts = 3}};
};
const auto constants = []<class T>(std::type_identity<T>) {
    return moe::constant_bank<T>{{.features = 5, .experts = 3, .outputs = 2}};
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a null expert gives exact zeros and no gradient, whatever x and the memory hold", "",
                        every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(nulls, 2);
    auto x = moe::testing::random_matrix<T>(4, 5, 8);
    typename TestType::backend backend;
    moe::batch<T> in;
    in.x = x;
    const auto trained = moe::testing::train_once(backend, layer, in);
    for (const T v : trained.y.span()) CHECK(v == T(0));
    for (const T v : trained.dx.span()) CHECK(v == T(0));
    check_bank_laws<TestType>(nulls);
}

TEMPLATE_LIST_TEST_CASE("an identity expert hands its token on, times the weight of the route", "", every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(identities, 2);
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    typename TestType::backend backend;
    moe::batch<T> in;
    in.x = x;
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    for (moe::index_t t = 0; t < 4; ++t) {
        const double weight =
            double(s.routes.weight[std::size_t(2 * t)]) + double(s.routes.weight[std::size_t(2 * t + 1)]);
        for (moe::index_t j = 0; j < 5; ++j) CHECK(double(y(t, j)) == Approx(weight * double(x(t, j))).epsilon(1e-6));
    }
    check_bank_laws<TestType>(identities);
}

TEST_CASE("an identity bank's gradients equal central differences") { check_bank_gradients(identities); }

TEST_CASE("a constant bank's gradients equal central differences") { check_bank_gradients(constants); }

TEMPLATE_LIST_TEST_CASE("a constant expert gives its learned row to every token", "", every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(constants, 1);
    const auto x = moe::testing::random_matrix<T>(2, 5, 8);
    const sent<T> all(1, {2, 0});
    typename TestType::backend backend;
    const auto in = all.batch(x);
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    for (moe::index_t j = 0; j < 2; ++j) {
        CHECK(y(0, j) == s.routes.weight[0] * layer.experts().value(2, j));
        CHECK(y(1, j) == s.routes.weight[1] * layer.experts().value(0, j));
    }
    check_bank_laws<TestType>(constants);
}

TEST_CASE("a fresh constant expert is a null expert") {
    const moe::constant_bank<float> bank{{.features = 5, .experts = 3}};
    CHECK(bank.outputs() == 5);
    for (const float v : bank.value.span()) CHECK(v == 0.0f);
}

TEST_CASE("simple banks refuse sizes below 1 by name") {
    CHECK_THROWS_WITH(moe::null_bank<float>({.features = 0, .experts = 1}),
                      "moe: null_bank.features: wanted at least 1, got 0");
    CHECK_THROWS_WITH(moe::null_bank<float>({.features = 1, .experts = 1, .outputs = -3}),
                      "moe: null_bank.outputs: wanted at least 0 (0: as features), got -3");
    CHECK_THROWS_WITH(moe::identity_bank<float>({.features = 1, .experts = 0}),
                      "moe: identity_bank.experts: wanted at least 1, got 0");
    CHECK_THROWS_WITH(moe::constant_bank<float>({.features = -1, .experts = 1}),
                      "moe: constant_bank.features: wanted at least 1, got -1");
}
