#include "moe/select/statistic_threshold.hpp"

#include "select/hand.hpp"

using moe::threshold_statistic;

TEST_CASE("a quantile is interpolated between neighbours") {
    // Of 0, 1, 2, 3 the quantile 0.5 is 1.5, 2/3 is 2 and 0.9 is 2.7.
    const std::vector<std::vector<double>> keys = {{2, 0, 3, 1}};
    CHECK(chosen_by(moe::token_threshold{.q = 0.5}, keys).expert == ids{2, 0});
    CHECK(chosen_by(moe::token_threshold{.q = 0.9}, keys).expert == ids{2});
    CHECK(chosen_by(moe::token_threshold{.q = 0.0}, keys).expert == ids{2, 0, 3});
    CHECK(chosen_by(moe::token_threshold{.q = 0.0, .inclusive = true}, keys).expert == ids{2, 0, 3, 1});
    CHECK(chosen_by(moe::token_threshold{.q = 1.0}, keys).expert == ids{2});
    double x[4] = {3, 0, 2, 1};
    CHECK(moe::detail::threshold_of(x, 4, threshold_statistic::quantile, 0.9) == Approx(2.7));
}

TEST_CASE("mean and standard deviation make a threshold") {
    // Mean 2.5, standard deviation sqrt(1.25) = 1.118.
    const std::vector<std::vector<double>> keys = {{1, 2, 3, 4}};
    const auto at = [&](double q) {
        return chosen_by(moe::token_threshold{.statistic = threshold_statistic::mean_std, .q = q}, keys).expert;
    };
    CHECK(at(0) == ids{3, 2});
    CHECK(at(0.45) == ids{3});
    CHECK(at(-1) == ids{3, 2, 1});
}

TEST_CASE("a threshold of the batch gives tokens different numbers of experts") {
    const std::vector<std::vector<double>> keys = {{8, 7, 6}, {1, 0, 2}, {5, 3, 4}};
    CHECK(chosen_by(moe::batch_threshold{.q = 0.5}, keys).expert == ids{0, 1, 2, 2, 0});
    CHECK(chosen_by(moe::batch_threshold{.q = 0.5, .min_experts = 0}, keys).offset == ids{0, 3, 3, 4});
    const std::uint8_t mask[3] = {0, 1, 1};
    moe::batch<double> in;
    in.mask = mask;
    CHECK(chosen_by(moe::batch_threshold{.q = 0.5}, keys, in).expert == ids{2, 0, 2, 1});
}

TEST_CASE("statistics leave out -inf and NaN, and without finite keys the least number is taken") {
    const double nan = std::nan("");
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(chosen_by(moe::token_threshold{.q = 0.5}, {{nan, 1, -inf, 2, 3}}).expert == ids{4});
    CHECK(chosen_by(moe::token_threshold{.q = 0.5}, {{nan, nan, -inf}}).expert == ids{0});
    CHECK(chosen_by(moe::token_threshold{.q = 0.5}, {{-inf, -inf}}).expert == ids{});
    CHECK(chosen_by(moe::token_threshold{.q = 0.8, .inclusive = true}, {{inf, 1, 2, inf}}).expert == ids{0, 3});
}

TEST_CASE("statistic thresholds name the option that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::token_threshold{.q = 1.5}.check(in, 4, 4)),
                      "moe: token_threshold.q: wanted 0 to 1, got 1.500000");
    CHECK_THROWS_AS((moe::batch_threshold{.q = std::nan("")}.check(in, 4, 4)), moe::value_error);
    CHECK_THROWS_WITH((moe::batch_threshold{.min_experts = 9}.check(in, 4, 4)),
                      "moe: batch_threshold.min_experts: wanted 0 to 4, got 9");
}
