// Every route step keeps the laws.
#include "testing/every.hpp"

TEST_CASE("route steps that write weights keep the laws") {
    CHECK(laws(moe::renormalize{}) == no_violations);
    CHECK(laws(moe::renormalize{.epsilon = 0.5}) == no_violations);
    CHECK(laws(moe::renormalize{.skip_single = true}, {.slots = 1}) == no_violations);
    CHECK(laws(moe::p_norm{.p = 3, .epsilon = 0.1}) == no_violations);
    CHECK(laws(moe::softmax_selected{.temperature = 2}, {.slots = 3}) == no_violations);
    CHECK(laws(moe::sigmoid_selected{}) == no_violations);
    CHECK(laws(moe::scale{2.5}) == no_violations);
    CHECK(laws(learned(moe::learned_weight_scale<double>{})) == no_violations);
    CHECK(laws(learned(moe::per_expert_scale<double>{5})) == no_violations);
    CHECK(laws(moe::constant_weights{}) == no_violations);
    CHECK(laws(moe::only_if{true, moe::renormalize{}}) == no_violations);
    CHECK(laws(moe::only_if{false, moe::renormalize{}}) == no_violations);
    CHECK(laws<float>(moe::renormalize{}) == no_violations);
    CHECK(laws<float>(moe::softmax_selected{}) == no_violations);
}

TEST_CASE("route steps that drop keep the laws") {
    CHECK(laws(moe::null_experts{3}) == no_violations);
    CHECK(laws(moe::drop_below{.ratio = 0.5}) == no_violations);
    CHECK(laws(moe::drop_below{.least = 0.25}) == no_violations);
}

TEST_CASE("capacities keep the laws") {
    using moe::capacity_priority;
    CHECK(laws(moe::capacity{{.factor = 0.5}}) == no_violations);
    for (const auto priority : {capacity_priority::order, capacity_priority::last, capacity_priority::choice_rank,
                                capacity_priority::token_score, capacity_priority::score, capacity_priority::random}) {
        CHECK(laws(moe::capacity{{.count = 2, .priority = priority}}) == no_violations);
    }
    CHECK(laws(moe::capacity{{.factor = 0.5, .scope = moe::capacity_scope::sequence}}) == no_violations);
    CHECK(laws(moe::capacity{{.factor = 1, .scope = moe::capacity_scope::rows, .rows = 3}}) == no_violations);
    CHECK(laws(moe::capacity_pass{{.factor = 0.5}}) == no_violations);
    CHECK(laws(moe::capacity_pass{{.count = 2}}) == no_violations);
    CHECK(laws(moe::capacity_reroute{{.factor = 0.5}}) == no_violations);
    CHECK(laws(moe::capacity_reroute{{.count = 2}}) == no_violations);
}
