#include "moe/select/threshold.hpp"

#include "moe/core/parameter.hpp"
#include "select/hand.hpp"

TEST_CASE("threshold takes what is above it, best first, and what equals it only if inclusive") {
    const std::vector<std::vector<double>> keys = {{0.5, 0.6, 0.4, 0.9}, {0.1, 0.2, 0.3, 0.5}};
    CHECK(chosen_by(moe::threshold{.value = 0.5}, keys).offset == ids{0, 2, 2});
    CHECK(chosen_by(moe::threshold{.value = 0.5}, keys).expert == ids{3, 1});
    CHECK(chosen_by(moe::threshold{.value = 0.5, .inclusive = true}, keys).expert == ids{3, 1, 0, 3});
}

TEST_CASE("threshold falls back to the best experts and stops at the most") {
    const std::vector<std::vector<double>> keys = {{0.5, 0.6, 0.4, 0.9}, {0.1, 0.2, 0.3, 0.2}};
    CHECK(chosen_by(moe::threshold{.value = 0.5, .min_experts = 1}, keys).expert == ids{3, 1, 2});
    CHECK(chosen_by(moe::threshold{.value = 0.0, .max_experts = 1}, keys).expert == ids{3, 2});
    moe::batch<double> in;
    in.k = 2;
    CHECK(chosen_by(moe::threshold{.value = 0.0}, keys, in).expert == ids{3, 1, 2, 1});
}

TEST_CASE("no NaN and no -inf passes a threshold, and NaN serves as a last resort only") {
    const double nan = std::nan("");
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(chosen_by(moe::threshold{.value = -inf}, {{nan, -inf, -1e300}}).expert == ids{2});
    CHECK(chosen_by(moe::threshold{.value = 0, .min_experts = 2}, {{nan, -inf, -1}}).expert == ids{2, 0});
    CHECK(chosen_by(moe::threshold{.value = 0, .min_experts = 3}, {{-inf, -inf, -inf}}).expert == ids{});
}

TEST_CASE("the threshold is state: visited for saving, not among the parameters") {
    moe::threshold t{.value = 2.25};
    std::string names;
    const auto visit = [&](const moe::parameter_name& name, double& value) {
        names += name.text() + "=" + std::to_string(value);
    };
    moe::threshold::state(moe::named_visitor<decltype(visit)>{visit, {}}, t);
    CHECK(names == "value=2.250000");
    CHECK_FALSE(moe::has_parameters<moe::threshold>);
}

TEST_CASE("threshold names the option that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::threshold{.value = std::nan("")}.check(in, 4, 4)),
                      "moe: threshold.value: wanted a number, got nan");
    CHECK_THROWS_WITH((moe::threshold{.min_experts = 5}.check(in, 4, 4)),
                      "moe: threshold.min_experts: wanted 0 to 4, got 5");
    CHECK_THROWS_WITH((moe::threshold{.min_experts = 2, .max_experts = 1}.check(in, 4, 4)),
                      "moe: threshold.max_experts: wanted 2 to 4, got 1");
}

TEST_CASE("a k of the call that threshold cannot keep to is named") {
    moe::batch<float> in;
    in.k = 5;
    CHECK_THROWS_WITH((moe::threshold{.min_experts = 1}.check(in, 4, 4)),
                      "moe: batch.k (the most threshold takes): wanted 1 to 4, got 5");
}
