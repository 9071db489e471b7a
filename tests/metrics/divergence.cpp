#include "moe/metrics/divergence.hpp"

#include <vector>

#include "support/catch.hpp"

TEST_CASE("divergences of equal, disjoint and scaled distributions") {
    const std::vector<double> a{1, 0}, b{0, 3}, even{2, 2}, skewed{3, 1};
    CHECK(moe::js_divergence(a, a) == 0.0);
    CHECK(moe::js_divergence(a, b) == Approx(std::log(2.0)));
    CHECK(moe::js_divergence(even, skewed) == Approx(moe::js_divergence(skewed, even)));
    CHECK(moe::js_divergence(even, skewed) ==
          Approx(0.5 * (0.5 * std::log(0.5 / 0.625) + 0.5 * std::log(0.5 / 0.375) + 0.75 * std::log(0.75 / 0.625) +
                        0.25 * std::log(0.25 / 0.375))));
    CHECK(moe::kl_divergence(skewed, even) == Approx(0.75 * std::log(1.5) + 0.25 * std::log(0.5)));
    CHECK(std::isinf(moe::kl_divergence(even, a)));
    CHECK(moe::kl_divergence(a, even) == Approx(std::log(2.0)));
    const std::vector<double> zero{0, 0}, three{1, 1, 1};
    CHECK(std::isnan(moe::js_divergence(a, zero)));
    CHECK_THROWS_WITH(moe::js_divergence(a, three), "moe: js_divergence: q: wanted [2], got [3]");
}

TEST_CASE("normalised pointwise mutual information of the catalogue's example") {
    CHECK(moe::normalized_pmi(100, 10, 20, 8) == Approx(0.548869).epsilon(1e-5));
    CHECK(moe::normalized_pmi(100, 10, 20, 2) == Approx(0.0).margin(1e-12));
    CHECK(moe::normalized_pmi(100, 10, 10, 10) == Approx(1.0));
    CHECK(moe::normalized_pmi(100, 10, 20, 0) == -1.0);
    CHECK(moe::normalized_pmi(100, 100, 100, 100) == 1.0);
    CHECK(moe::normalized_pmi(100, 0, 20, 0) == 0.0);
}
