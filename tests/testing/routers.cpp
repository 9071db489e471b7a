// Routers keep the laws, on every backend.
// SPDX-License-Identifier: Apache-2.0
#include "testing/every.hpp"

TEST_CASE("a router keeps the laws on every backend") {
    moe::cpu one, two{{.threads = 2}};
    CHECK(laws(small_router(), {}, one, two) == no_violations);
}

TEST_CASE("routers with key steps and route steps keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4, .seed = 5}};
    moe::selection_bias bias{4};
    bias.bias[2] = 0.5f;
    CHECK(laws(moe::router{gate, moe::sigmoid{}, bias, moe::group_limit{.groups = 2}, moe::top_k{.k = 1},
                           moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}, moe::capacity{{.factor = 0.5}}}) == no_violations);
    // A weight that took the bias would be negative.
    bias.bias[1] = -1.5f;
    CHECK(laws(moe::router{gate, moe::sigmoid{}, bias, moe::top_k{.k = 4}}) == no_violations);
}

TEST_CASE("routers with fewer experts than slots keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4, .seed = 5}};
    const moe::expert_mask mask{flags({{1, 0, 0, 0}, {1, 0, 1, 1}})};
    CHECK(laws(moe::router{gate, mask, moe::top_k{.k = 2}, moe::scale{0.5}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::softmax{}, moe::threshold{.value = 0.3}, moe::drop_below{.ratio = 0.9}}) ==
          no_violations);
}

TEST_CASE("routers that draw, choose by expert or weigh themselves keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4, .seed = 5}};
    CHECK(laws(moe::router{gate, moe::gumbel_noise{}, moe::top_k{.k = 2}, moe::softmax_selected{}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::softmax{}, moe::expert_choice{}}) == no_violations);
    CHECK(laws(moe::router{learned(moe::product_keys_gate<double>{{.features = 4, .experts = 9}}),
                           moe::product_keys{.k = 2}}) == no_violations);
}
