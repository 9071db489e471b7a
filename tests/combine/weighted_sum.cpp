#include "moe/combine/weighted_sum.hpp"

#include "experts/around.hpp"
#include "moe/experts/constant_bank.hpp"

TEMPLATE_LIST_TEST_CASE("the weighted sum adds a token's rows by ascending expert, whatever its slots", "",
                        every_backend) {
    using T = typename TestType::scalar;
    // Cancelling powers tell the order: (2^60 - 2^60) + 1 = 1, but 2^60 + (1 - 2^60) = 0.
    moe::layer layer{small_router<T>(2, 4, 3), moe::constant_bank<T>{{.features = 2, .experts = 4, .outputs = 1}}};
    layer.router().template step<0>().weight.assign(0, moe::matrix<T>(4, 2).view());  // all weights 1/4
    const T big = T(std::int64_t{1} << 60);
    layer.experts().value(0, 0) = big;
    layer.experts().value(1, 0) = -big;
    layer.experts().value(2, 0) = T(4);
    const auto x = moe::testing::random_matrix<T>(3, 2, 8);
    const sent<T> all(3, {0, 1, 2, 2, 1, 0, 1, 2, 0});
    typename TestType::backend backend;
    const auto y = moe::testing::infer(backend, layer, all.batch(x));
    for (moe::index_t t = 0; t < 3; ++t) CHECK(y(t, 0) == T(1));
}

TEMPLATE_LIST_TEST_CASE("the weighted sum and its adjoint agree: <A r, y> = <r, A^T y>", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    using K = moe::kernels_of<typename TestType::backend>;
    const std::vector<moe::index_t> offset{0, 2, 4, 5};
    const std::vector<moe::index_t> expert{1, 0, -1, 1, 2};
    const std::vector<T> weight{T(0.5), T(-2), T(0), T(3), T(0.25)};
    moe::arena memory;
    const moe::plan_view plan = K::build_plan(backend, 3, 3, offset, expert, memory);
    REQUIRE(plan.rows() == 4);
    moe::routing<T> s;
    s.routes = {offset, expert, weight, 0};
    const auto rows = moe::testing::random_matrix<T>(4, 70, 1);
    const auto dy = moe::testing::random_matrix<T>(3, 70, 2);
    moe::matrix<T> y = moe::testing::poisoned<T>(3, 70);
    moe::matrix<T> d_rows = moe::testing::poisoned<T>(4, 70);
    std::vector<T> d_weight(5, T(7));
    moe::adjoint<T> d;
    d.weight = d_weight;
    const moe::weighted_sum sum;
    sum.forward(backend, s, plan, rows.view(), y.view());
    sum.backward(backend, s, plan, rows.view(), dy.view(), d_rows.view(), d);
    double left = 0, right = 0, by_weight = 0;
    for (std::size_t i = 0; i < y.size(); ++i) left += double(y.data()[i]) * double(dy.data()[i]);
    for (std::size_t i = 0; i < rows.size(); ++i) right += double(rows.data()[i]) * double(d_rows.data()[i]);
    for (std::size_t i = 0; i < 5; ++i) by_weight += double(weight[i]) * (double(d_weight[i]) - 7);
    CHECK(right == Approx(left).epsilon(1e-5));
    CHECK(by_weight == Approx(left).epsilon(1e-5));
    CHECK(d_weight[2] == T(7));  // a dead slot has no gradient
}
