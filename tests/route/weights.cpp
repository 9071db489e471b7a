// Steps that write the weights one by one.
#include "moe/route/constant_weights.hpp"
#include "moe/route/learned_weight_scale.hpp"
#include "moe/route/per_expert_scale.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/sigmoid_selected.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using weights = std::vector<double>;

template <class T>
moe::per_expert_scale<T> gains(std::initializer_list<T> values) {
    moe::per_expert_scale<T> step(static_cast<moe::index_t>(values.size()));
    std::copy(values.begin(), values.end(), step.scale.data());
    return step;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("constant weights keep the laws of layers and their gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(2, moe::constant_weights{}); });
}

TEST_CASE("constant weights replace what is alive") {
    const hand_routes r{{0, 2, 3}, {1, -1, 2}, {0.5, 0, 0.125}};
    CHECK(apply(moe::constant_weights{}, r).weight == weights{1, 0, 1});
    CHECK(apply(moe::constant_weights{.value = 0.25}, r).weight == weights{0.25, 0, 0.25});
    CHECK_THROWS_WITH((moe::constant_weights{.value = -HUGE_VAL}.check(moe::batch<float>{}, 4, 4)),
                      "moe: constant_weights.value: wanted a finite number, got -inf");
}

TEST_CASE("constant weights give the gate no gradient") {
    moe::reference backend;
    const auto x = moe::testing::random_matrix<double>(5, 5, 3);
    moe::batch<double> in;
    in.x = x;
    const auto result = moe::testing::train_once(backend, layer_of<double>(2, moe::constant_weights{}), in);
    for (const double v : moe::flat(std::get<0>(std::get<0>(result.gradient)).weight)) CHECK(v == 0.0);
}

TEMPLATE_LIST_TEST_CASE("sigmoid over the selected keeps the laws of layers and its gradient is exact", "",
                        every_backend) {
    check_steps<TestType>([]<class T>() {
        return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::top_k{.k = 2},
                                      moe::sigmoid_selected{}},
                          moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
    });
}

TEST_CASE("sigmoid over the selected leaves dead slots at 0 and survives any size") {
    const auto r = apply(moe::sigmoid_selected{}, {{0, 3, 4}, {1, -1, 2, 0}, {0, 0, 800, -800}});
    CHECK(r.weight == weights{0.5, 0, 1, 0});
}

TEMPLATE_LIST_TEST_CASE("learned scales keep the laws of layers and their gradients are exact", "", every_backend) {
    check_steps<TestType>([]<class T>() {
        return layer_of<T>(2, moe::learned_weight_scale<T>{T(1.7)}, moe::renormalize{.epsilon = 0.5},
                           gains<T>({1, 2, 0, T(0.5), -1, 3}));
    });
}

TEST_CASE("a learned scale multiplies every weight, a scale per expert those of its expert") {
    const hand_routes r{{0, 2, 3}, {1, 0, 2}, {0.5, 0.25, 0.125}};
    CHECK(apply(moe::learned_weight_scale<double>{2}, r).weight == weights{1, 0.5, 0.25});
    CHECK(apply(gains<double>({2, 3, 0}), r).weight == weights{1.5, 0.5, 0});
    CHECK(apply(moe::per_expert_scale<double>(3), r).weight == r.weight);
}

TEST_CASE("a scale per expert refuses another number of experts") {
    CHECK_THROWS_WITH((moe::per_expert_scale<float>(3).check(moe::batch<float>{}, 4, 4)),
                      "moe: per_expert_scale.scale: wanted [1, 4], got [1, 3]");
}
