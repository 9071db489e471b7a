#include "moe/route/p_norm.hpp"

#include "route/layer_of.hpp"
#include "route/steps.hpp"

TEMPLATE_LIST_TEST_CASE("p_norm keeps the laws of layers and its gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::p_norm{}); });
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::p_norm{.p = 1, .epsilon = 0.2}); });
    check_steps<TestType>([]<class T>() {
        return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::top_k{.k = 4},
                                      moe::p_norm{.p = 3.5, .epsilon = 0.1}},
                          moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
    });
}

TEST_CASE("p_norm divides by the norm of the token's weights") {
    const auto r = apply(moe::p_norm{}, {{0, 2, 4}, {1, 0, 2, -1}, {3, -4, 0.5, 0}});
    CHECK(r.weight[0] == Approx(0.6));
    CHECK(r.weight[1] == Approx(-0.8));
    CHECK(r.weight[2] == Approx(1.0));
    CHECK(apply(moe::p_norm{.p = 1}, {{0, 2}, {1, 0}, {3, -1}}).weight[1] == Approx(-0.25));
    CHECK(apply(moe::p_norm{.epsilon = 5}, {{0, 2}, {1, 0}, {3, 4}}).weight[0] == Approx(0.3));
}

TEST_CASE("p_norm leaves a zero norm alone and does not overflow") {
    CHECK(apply(moe::p_norm{}, {{0, 2}, {1, 0}, {0, 0}}).weight == std::vector<double>{0, 0});
    const auto r = apply(moe::p_norm{.p = 4}, {{0, 2}, {1, 0}, {1e200, 1e200}});
    CHECK(r.weight[0] == Approx(std::pow(0.5, 0.25)));
}

TEST_CASE("p_norm names the option that is wrong") {
    CHECK_THROWS_WITH((moe::p_norm{.p = 0.5}.check(moe::batch<float>{}, 4, 4)),
                      "moe: p_norm.p: wanted a finite number of at least 1, got 0.500000");
    CHECK_THROWS_AS((moe::p_norm{.epsilon = -1}.check(moe::batch<float>{}, 4, 4)), moe::value_error);
}

TEST_CASE("p_norm leaves dead slots at 0, whatever the others weigh") {
    const double nan = std::nan("");
    CHECK(apply(moe::p_norm{}, {{0, 2}, {1, -1}, {nan, 0}}).weight[1] == 0);
    CHECK(apply(moe::p_norm{.p = 3}, {{0, 2}, {-1, 0}, {0, -HUGE_VAL}}).weight[0] == 0);
}
