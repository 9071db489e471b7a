#include "moe/route/renormalize.hpp"

#include "moe/route/learned_weight_scale.hpp"
#include "moe/route/p_norm.hpp"

#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using weights = std::vector<double>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("renormalize keeps the laws of layers and its gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::renormalize{}); });
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::renormalize{.epsilon = 0.3}); });
    // The selected scores sum to about 0.7: for some tokens the bound is the divisor, for others the sum.
    check_steps<TestType>([]<class T>() { return layer_of<T>(2, moe::renormalize{.least = 0.6}); });
    check_steps<TestType>([]<class T>() { return layer_of<T>(1, moe::renormalize{.skip_single = true}); });
}

TEST_CASE("renormalize divides by the sum of the live slots, guarded as asked") {
    const hand_routes r{{0, 2, 4}, {1, 0, 2, -1}, {0.5, 0.25, 0.125, 0}};
    CHECK(apply(moe::renormalize{}, r).weight == weights{0.5 / 0.75, 0.25 / 0.75, 1, 0});
    CHECK(apply(moe::renormalize{.epsilon = 0.25}, r).weight == weights{0.5, 0.25, 0.125 / 0.375, 0});
    CHECK(apply(moe::renormalize{.least = 0.5}, r).weight == weights{0.5 / 0.75, 0.25 / 0.75, 0.25, 0});
}

TEST_CASE("renormalize leaves weights that sum to 0 as they are") {
    CHECK(apply(moe::renormalize{}, {{0, 2, 4}, {1, 0, -1, -1}, {0, 0, 0, 0}}).weight == weights{0, 0, 0, 0});
    CHECK(apply(moe::renormalize{.epsilon = 1e-20}, {{0, 2}, {1, 0}, {0, 0}}).weight == weights{0, 0});
    CHECK(apply(moe::renormalize{.epsilon = 1e-20}, {{0, 2}, {1, 0}, {1e-44, 1e-44}}).weight[0] == Approx(1e-24));
}

TEST_CASE("a dead slot keeps weight 0 beside a NaN") {
    const double nan = std::nan("");
    const hand_routes r{{0, 2}, {1, -1}, {nan, 0}};
    CHECK(apply(moe::renormalize{}, r).weight[1] == 0.0);
    CHECK(apply(moe::p_norm{}, r).weight[1] == 0.0);
    CHECK(apply(moe::learned_weight_scale<double>{nan}, r).weight[1] == 0.0);
}

TEST_CASE("a single slot is renormalised to 1, or left alone where asked") {
    const hand_routes r{{0, 1, 3}, {1, 0, 2}, {0.3, 0.2, 0.2}};
    CHECK(apply(moe::renormalize{}, r).weight == weights{1, 0.5, 0.5});
    CHECK(apply(moe::renormalize{.skip_single = true}, r).weight == weights{0.3, 0.5, 0.5});
}

TEST_CASE("with one route a renormalised gate gets no gradient, and gets one where single slots are left alone") {
    moe::reference backend;
    const auto x = moe::testing::random_matrix<double>(5, 5, 3);
    moe::batch<double> in;
    in.x = x;
    const auto gate_moves = [&](const auto& layer) {
        const auto result = moe::testing::train_once(backend, layer, in);
        const auto& g = std::get<0>(std::get<0>(result.gradient));
        double size = 0;
        for (const double v : moe::flat(g.weight)) size = std::max(size, std::abs(v));
        return size;
    };
    CHECK(gate_moves(layer_of<double>(1, moe::renormalize{})) < 1e-15);
    CHECK(gate_moves(layer_of<double>(1, moe::renormalize{.skip_single = true})) > 1e-3);
}

TEST_CASE("renormalize names the option that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::renormalize{.epsilon = -1}.check(in, 4, 4)),
                      "moe: renormalize.epsilon: wanted at least 0, got -1.000000");
    CHECK_THROWS_AS((moe::renormalize{.least = std::nan("")}.check(in, 4, 4)), moe::value_error);
}
