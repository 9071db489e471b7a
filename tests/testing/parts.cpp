// Every gate and combine keeps the laws.
#include "testing/every.hpp"

TEST_CASE("gates keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4}};
    CHECK(laws(gate) == no_violations);
    CHECK(laws(learned(moe::mlp_gate<double>{{.features = 3, .hidden = 4, .experts = 3, .bias = true}})) ==
          no_violations);
    CHECK(laws(learned(moe::mlp_gate<double>{{.features = 2, .hidden = 2, .experts = 1, .bias = true}})) ==
          no_violations);
    CHECK(laws<float>(moe::linear_gate<float, moe::gate_math::upcast>{{.features = 3, .experts = 70}}) ==
          no_violations);
    CHECK(laws(moe::features_through{moe::jitter{0.1}, gate}) == no_violations);
    CHECK(laws(moe::features_through{moe::l2_normalize{.epsilon = 0.5}, gate}) == no_violations);
    CHECK(laws(moe::frozen_gate{gate}) == no_violations);
}

TEST_CASE("gates of another form keep the laws") {
    CHECK(laws(learned(moe::cosine_gate<double>{{.features = 3, .experts = 4, .projection = 2}})) == no_violations);
    CHECK(laws(learned(moe::cosine_gate<double>{{.features = 3, .experts = 2, .epsilon = 2}})) == no_violations);
    CHECK(laws(learned(moe::product_keys_gate<double>{{.features = 4, .experts = 9}})) == no_violations);
    CHECK(laws(learned(moe::label_table_gate<double>{{.features = 3, .labels = 2, .experts = 4}})) == no_violations);
}

TEST_CASE("pooled gates keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4}};
    const std::vector<moe::index_t> columns{0, 1, 1, 3};
    for (const moe::pooling how : {moe::pooling::mean, moe::pooling::max, moe::pooling::log_sum_exp}) {
        CHECK(laws(moe::pooled_gate{gate, {.experts = 4, .expert_of_column = columns, .how = how}}) == no_violations);
    }
}

TEST_CASE("combines keep the laws") {
    moe::cpu one, two{{.threads = 2}};
    CHECK(laws(moe::weighted_sum{}, {.slots = 3}, one, two) == no_violations);
    CHECK(laws(moe::row_sum{}) == no_violations);
    CHECK(laws(moe::scaled_sum{.factor = -2.5}) == no_violations);
    CHECK(laws(learned(moe::biased_sum<double>{{.outputs = 3}})) == no_violations);
    CHECK(laws(learned(moe::projected_sum<double>{{.inputs = 3, .outputs = 2}})) == no_violations);
    CHECK(laws(moe::concat{.k = 2}) == no_violations);
    CHECK(laws(moe::concat{.k = 3, .weighted = false}) == no_violations);
}
