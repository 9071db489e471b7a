// Every selector keeps the laws.
#include "testing/every.hpp"

TEST_CASE("selectors that look at one token keep the laws") {
    CHECK(laws(moe::top_k{.k = 1}) == no_violations);
    CHECK(laws(moe::top_k{.k = 2}, {.k = 3}) == no_violations);
    CHECK(laws<float>(moe::top_k{.k = 6}, {.experts = 20}) == no_violations);
    CHECK(laws(moe::top_p{.p = 0.7}) == no_violations);
    CHECK(laws(moe::top_p{.p = 1.5, .min_experts = 2, .max_experts = 3}, {.k = 2}) == no_violations);
    CHECK(laws(moe::top_p{.p = 0.0, .min_experts = 0}) == no_violations);
    CHECK(laws(moe::top_p{.p = 0.9, .include_crossing = false, .min_experts = 2}) == no_violations);
    CHECK(laws(moe::dense{}) == no_violations);
    CHECK(laws(moe::rank_set{{0, 1}}) == no_violations);
    CHECK(laws(moe::rank_set{{3, 1}}) == no_violations);
    CHECK(laws(moe::threshold{.value = 0.5}) == no_violations);
    CHECK(laws(moe::threshold{.value = 0.7, .min_experts = 1, .max_experts = 2}) == no_violations);
    CHECK(laws(moe::token_threshold{.q = 0.6}) == no_violations);
    CHECK(laws(moe::token_threshold{.statistic = moe::threshold_statistic::mean_std, .q = 0.5}) == no_violations);
}

TEST_CASE("selectors that draw keep the laws") {
    CHECK(laws(moe::first_and_second{}, {.k = 2}) == no_violations);
    CHECK(laws(moe::first_and_second{moe::second_expert::sampling}) == no_violations);
    CHECK(laws(moe::first_and_second{moe::second_expert::random}) == no_violations);
    CHECK(laws(moe::sparsemixer{}) == no_violations);
}

TEST_CASE("selectors with experts of their own keep the laws") {
    const auto table = rows_of<moe::index_t>({{0, 3}, {2, 1}, {-1, 4}, {4, 0}, {1, 2}});
    CHECK(laws(moe::token_table{table}) == no_violations);
    CHECK(laws(moe::label_table{table}) == no_violations);
    CHECK(laws(moe::always_on{moe::top_k{.k = 2}, {.experts = {4, 1}}}) == no_violations);
    CHECK(laws(moe::always_on{moe::top_p{.p = 0.8}, {.experts = {0}, .hidden = true}}) == no_violations);
    CHECK(laws(moe::product_keys{.k = 2}, {.experts = 6}) == no_violations);
}

TEST_CASE("selectors of a whole batch keep the laws") {
    CHECK(laws(moe::expert_choice{}) == no_violations);
    CHECK(laws(moe::expert_choice{.capacity = 3}) == no_violations);
    CHECK(laws(moe::expert_choice{.capacity_factor = 2, .per_sequence = true}) == no_violations);
    CHECK(laws(moe::global_top{.experts_per_token = 2}) == no_violations);
    CHECK(laws(moe::global_top{.keep_ties = true}) == no_violations);
    CHECK(laws(moe::batch_threshold{.q = 0.7}) == no_violations);
    CHECK(laws(moe::batch_threshold{.statistic = moe::threshold_statistic::mean_std, .q = 0.5}) == no_violations);
    CHECK(laws(moe::always_on{moe::expert_choice{}, {.experts = {0}, .hidden = true}}) == no_violations);
}
