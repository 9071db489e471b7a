// Every score step and key step keeps the laws.
#include "testing/every.hpp"

TEST_CASE("the functions of one score keep the laws") {
    CHECK(laws(moe::identity_score{}) == no_violations);
    CHECK(laws(moe::sigmoid{}) == no_violations);
    CHECK(laws(moe::sqrt_softplus{}) == no_violations);
    CHECK(laws(moe::relu_score{}) == no_violations);
    CHECK(laws(moe::soft_cap{.cap = 3}) == no_violations);
    CHECK(laws(moe::temperature{.value = 0.5}) == no_violations);
    CHECK(laws(moe::learned_temperature<double>{{.initial = 0.7}}) == no_violations);
    CHECK(laws(learned(moe::learned_scale<double>{.factor = 2})) == no_violations);
    CHECK(laws<float>(moe::sigmoid{}) == no_violations);
    CHECK(laws<float>(moe::sqrt_softplus{}) == no_violations);
}

TEST_CASE("the functions of a row of scores keep the laws") {
    CHECK(laws(moe::softmax{}) == no_violations);
    CHECK(laws<float>(moe::softmax{}) == no_violations);
    CHECK(laws(moe::l2_normalize{}) == no_violations);
    CHECK(laws(moe::l2_normalize{.epsilon = 0.5}) == no_violations);
    CHECK(laws(moe::rms_normalize<double>{{}}) == no_violations);
    CHECK(laws(learned(moe::rms_normalize<double>{{.columns = 5}})) == no_violations);
    CHECK(laws(moe::standardize{}) == no_violations);
}

TEST_CASE("the steps that tell experts apart keep the laws") {
    CHECK(laws(learned(moe::logit_bias<double>{5})) == no_violations);
    CHECK(laws(moe::side_scores{0.5}, {.side = side_kind::by_expert}) == no_violations);
    CHECK(laws(moe::expert_mask{flags({{1, 0, 1, 1, 1}, {1, 1, 1, 1, 0}})}) == no_violations);
    CHECK(laws(moe::pinned_experts{flags({{0, 0, 0, 0, 0}, {0, 1, 0, 1, 0}})}) == no_violations);
    CHECK(laws(moe::group_guidance{flags({{1, 0, 0, 1, 0}})}) == no_violations);
    CHECK(laws(moe::steer{flags({{1, 0, 0, 1, 0}, {0, 0, 0, 0, 0}})}) == no_violations);
    CHECK(laws(moe::steer{flags({{1, 0, 0, 1, 0}}), moe::steering::force_in, 1}) == no_violations);
    CHECK(laws(moe::steer{flags({{1, 0, 0, 1, 0}}), moe::steering::force_out, 1}) == no_violations);
}

TEST_CASE("noise keeps the laws") {
    CHECK(laws(moe::gaussian_noise{}) == no_violations);
    CHECK(laws(moe::gumbel_noise{}) == no_violations);
    CHECK(laws(moe::jitter{0.1}) == no_violations);
    CHECK(laws(learned(moe::learned_noise<double>{{.features = 3, .experts = 5}})) == no_violations);
    CHECK(laws(moe::random_expert_mask{.keep = 3, .protect = 1}) == no_violations);
}

TEST_CASE("mixing over tokens keeps the laws") {
    CHECK(laws(moe::token_mix<>{}, {.side = side_kind::by_token}) == no_violations);
    CHECK(laws(moe::token_mix<true>{}, {.side = side_kind::by_token}) == no_violations);
}

TEST_CASE("key steps keep the laws") {
    CHECK(laws(moe::group_limit{.groups = 2, .keep = 1, .best = 2}, {.experts = 6}) == no_violations);
    CHECK(laws(moe::group_limit{.groups = 3, .keep = 2, .best = 1, .fill = 0}, {.experts = 6}) == no_violations);
    CHECK(laws(moe::keys_only{moe::softmax{}}) == no_violations);
    CHECK(laws(moe::keys_only{moe::gumbel_noise{}}) == no_violations);
    CHECK(laws(moe::keys_only{moe::expert_mask{flags({{1, 0, 1, 1, 1}})}}) == no_violations);
    moe::selection_bias bias{5};
    bias.bias[3] = 1.5f;
    CHECK(laws(bias) == no_violations);
}
