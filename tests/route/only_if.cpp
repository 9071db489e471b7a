// A route step behind a switch.
#include "moe/route/capacity.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/per_expert_scale.hpp"
#include "moe/route/renormalize.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using weights = std::vector<double>;
using counts = std::vector<moe::index_t>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a step that is on or off keeps the laws of layers and its gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() {
        return layer_of<T>(2, moe::only_if{true, moe::renormalize{.epsilon = 0.5}},
                           moe::only_if{false, moe::renormalize{}},
                           moe::only_if{true, moe::per_expert_scale<T>(6)},
                           moe::only_if{false, moe::per_expert_scale<T>(6)});
    });
}

TEST_CASE("a step that is on computes what the step computes, one that is off nothing, whatever it writes") {
    const hand_routes r{{0, 2, 4}, {1, 0, 1, 2}, {0.5, 0.25, 0.25, 0.25}};
    CHECK(apply(moe::only_if{true, moe::renormalize{}}, r).weight == apply(moe::renormalize{}, r).weight);
    CHECK(apply(moe::only_if{false, moe::renormalize{}}, r).weight == r.weight);
    const moe::capacity one{{.count = 1}};
    CHECK(apply(moe::only_if{true, one}, r).expert == counts{1, 0, -1, 2});
    CHECK(apply(moe::only_if{false, one}, r).expert == r.expert);
}

TEST_CASE("a step that is off promises nothing of its own and its options are still checked") {
    CHECK(moe::only_if{true, moe::renormalize{}}.traits().sums_to_one);
    CHECK_FALSE(moe::only_if{false, moe::renormalize{}}.traits().sums_to_one);
    CHECK_FALSE(moe::only_if{true, moe::capacity{}}.traits().causal);
    CHECK(moe::only_if{false, moe::capacity{}}.traits().causal);
    CHECK_THROWS_AS((moe::only_if{false, moe::renormalize{.epsilon = -1}}.check(moe::batch<float>{}, 4, 4)),
                    moe::value_error);
}

TEST_CASE("the parameters of a step behind a switch are the step's, with gradients of zero where it is off") {
    moe::reference backend;
    const auto x = moe::testing::random_matrix<double>(5, 5, 3);
    moe::batch<double> in;
    in.x = x;
    auto layer = layer_of<double>(2, moe::only_if{false, moe::per_expert_scale<double>(6)});
    std::vector<std::string> names;
    moe::visit_parameters([&](const moe::parameter_name& name, const auto&) { names.push_back(name.text()); }, layer);
    CHECK(std::find(names.begin(), names.end(), "router.3.scale") != names.end());
    const auto result = moe::testing::train_once(backend, layer, in);
    for (const double v : moe::flat(std::get<3>(std::get<0>(result.gradient)).scale)) CHECK(v == 0.0);
}
