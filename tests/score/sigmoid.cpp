#include "moe/score/sigmoid.hpp"

#include "score/step_support.hpp"

TEMPLATE_LIST_TEST_CASE("sigmoid gives hand values and exact ends", "", every_backend) {
    const auto r = route_logits<TestType>({{0, 1, -1, 30}, {infinity, -infinity, not_a_number, -1000}}, moe::sigmoid{});
    check_close(r.scores, {{0.5, 0.73105857863000490, 0.26894142136999512, 0.99999999999990652},
                           {1, 0, not_a_number, 0}});
    check_close(r.logits, {{0, 1, -1, 30}, {infinity, -infinity, not_a_number, -1000}});
}

TEMPLATE_LIST_TEST_CASE("sigmoid scores that all underflow give zero weights and no NaN", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{-2000, -2000, -2000}});
    moe::batch<T> in;
    in.x = x;
    const auto r = route<typename TestType::backend>(
        moe::router{copy_gate<T>{3}, moe::sigmoid{}, moe::top_k{.k = 2}, moe::renormalize{}}, in);
    CHECK(r.expert == std::vector<moe::index_t>{0, 1});
    CHECK(r.weight == std::vector<T>{0, 0});
}

TEMPLATE_LIST_TEST_CASE("sigmoid scores of logits of -100 have weights that are finite and even, guarded or not", "",
                        every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{-100, -100, -100}});
    moe::batch<T> in;
    in.x = x;
    const auto weights_with = [&](const moe::renormalize& step) {
        return route<typename TestType::backend>(moe::router{copy_gate<T>{3}, moe::sigmoid{}, moe::top_k{.k = 2}, step}, in)
            .weight;
    };
    // exp(-100) is subnormal as a float: a half each, or nothing where it is flushed to 0.
    const auto plain = weights_with({}), guarded = weights_with({.epsilon = 1e-20});
    CHECK(plain[0] == plain[1]);
    CHECK((plain[0] == T(0.5) || plain[0] == T(0)));
    CHECK(guarded[0] == guarded[1]);
    CHECK((guarded[0] >= T(0) && guarded[0] < T(1e-20)));
}

TEST_CASE("sigmoid's gradient equals central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 11);
    moe::batch<double> in;
    in.x = x;
    check_derivatives(layer_around<double>(moe::sigmoid{}, moe::top_k{.k = 3}), in);
    check_derivatives(layer_around<double>(moe::sigmoid{}, moe::top_k{.k = 3}, moe::renormalize{}), in);
}

TEMPLATE_LIST_TEST_CASE("a layer with sigmoid keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 11);
    moe::batch<T> in;
    in.x = x;
    check_laws<typename TestType::backend>(layer_around<T>(moe::sigmoid{}, moe::top_k{.k = 3}), in);
}
