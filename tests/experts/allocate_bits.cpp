// tests/experts: bits per expert, against all choices
// SPDX-License-Identifier: Apache-2.0
#include "moe/experts/allocate_bits.hpp"
#include "support/catch.hpp"

using moe::index_t;

namespace {

constexpr index_t experts = 8;
const std::vector<int> widths{1, 2, 3};

moe::matrix<double> some_costs(unsigned seed) {
    moe::matrix<double> cost(experts, 3);
    for (index_t e = 0; e < experts; ++e) {
        double c = 0;
        for (index_t w = 2; w >= 0; --w) {
            seed = seed * 1664525u + 1013904223u;
            c += double(seed >> 20);
            cost(e, w) = c;
        }
    }
    return cost;
}

double cost_of(const moe::matrix<double>& cost, const std::vector<int>& bits) {
    double sum = 0;
    for (index_t e = 0; e < experts; ++e) sum += cost(e, bits[std::size_t(e)] - 1);
    return sum;
}

double least_of_all(const moe::matrix<double>& cost, int budget) {
    double least = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 6561; ++code) {
        std::vector<int> bits;
        int used = 0;
        bool two = false, three = false;
        for (int rest = code, e = 0; e < int(experts); ++e, rest /= 3) {
            bits.push_back(1 + rest % 3);
            used += bits.back();
            two = two || bits.back() == 2;
            three = three || bits.back() == 3;
        }
        if (used <= budget && two && three) least = std::min(least, cost_of(cost, bits));
    }
    return least;
}

}  // namespace

TEST_CASE("allocated bits cost the least of all choices under each budget, and never more under a larger one") {
    for (const unsigned seed : {1u, 2u, 3u}) {
        const auto cost = some_costs(seed);
        double before = std::numeric_limits<double>::infinity();
        for (int budget = 11; budget <= 25; ++budget) {
            const auto bits = moe::allocate_bits(cost.view(), widths, budget, {2, 3});
            CHECK(std::accumulate(bits.begin(), bits.end(), 0) <= budget);
            CHECK(cost_of(cost, bits) == least_of_all(cost, budget));
            CHECK(cost_of(cost, bits) <= before);
            before = cost_of(cost, bits);
        }
        const auto most = moe::allocate_bits(cost.view(), widths, 24, {2, 3});
        CHECK(std::count(most.begin(), most.end(), 3) == experts - 1);
        CHECK(std::count(most.begin(), most.end(), 2) == 1);
    }
}

TEST_CASE("allocated bits: budgets nothing meets, bad costs and bad widths are named") {
    auto cost = some_costs(4);
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), widths, 10, {2, 3}), Catch::Contains("budget"));
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), widths, -1), Catch::Contains("budget"));
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), widths, 20, {4}), Catch::Contains("required width"));
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), {2, 1, 3}, 20), Catch::Contains("ascending"));
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), {1, 2}, 20), Catch::Contains("cost columns"));
    cost(3, 1) = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), widths, 20), Catch::Contains("expert 3"));
}

TEST_CASE("the top fraction gets the high width, ties to lower ids, and an outlier raises its matrix's score") {
    const std::vector<double> score{1, 3, 3, 2};
    CHECK(moe::allocate_top(score, 0, 4, 2) == std::vector<int>{2, 2, 2, 2});
    CHECK(moe::allocate_top(score, 1, 4, 2) == std::vector<int>{4, 4, 4, 4});
    CHECK(moe::allocate_top(score, 0.25, 4, 2) == std::vector<int>{2, 4, 2, 2});
    CHECK_THROWS_WITH(moe::allocate_top(score, 1.5, 4, 2), Catch::Contains("share"));
    moe::matrix<float> w(7, 3);
    for (auto& v : w.span()) v = -2;
    CHECK(moe::outlier_score(w.view()) == 1);
    w(4, 1) *= 10;
    CHECK(moe::outlier_score(w.view()) == Approx(10.0 * 7 / (7 + 9)));
}
