#include "moe/metrics/affinity.hpp"

#include "metrics/routes.hpp"

using hand_made::index_t;

TEST_CASE("affinity counts the transitions of the catalogue's example") {
    // (0,0) (0,0) (1,1) (1,2) (2,2) (3,3) (3,1)
    const hand_made::routes a({0, 0, 1, 1, 2, 3, 3}, 1, 4), b({0, 0, 1, 2, 2, 3, 1}, 1, 4);
    const auto pairs = moe::affinity(a.plan, b.plan);
    const double wanted[4][4] = {{2, 0, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 0}, {0, 1, 0, 1}};
    for (index_t i = 0; i < 4; ++i) {
        for (index_t j = 0; j < 4; ++j) CHECK(pairs(i, j) == wanted[i][j]);
    }
    const auto next = moe::conditional(pairs);
    CHECK(next(1, 2) == 0.5);
    CHECK(next(0, 0) == 1.0);
}

TEST_CASE("affinity takes all pairs of a token, other expert counts and unused experts") {
    const hand_made::routes a({0, 2, 1, -1}, 2, 4), b({1, 0, 2, 1}, 2, 3);
    const auto pairs = moe::affinity(a.plan, b.plan);
    CHECK(pairs.rows() == 4);
    CHECK(pairs.cols() == 3);
    CHECK(pairs(0, 0) == 1.0);
    CHECK(pairs(2, 1) == 1.0);
    CHECK(pairs(1, 2) == 1.0);
    CHECK(pairs(1, 0) == 0.0);
    const auto next = moe::conditional(pairs);
    for (index_t j = 0; j < 3; ++j) CHECK(next(3, j) == 0.0);
}

TEST_CASE("overlap is the share of picks that two plans have in common") {
    const hand_made::routes a({0, 1, 2, 3, -1, -1}, 2, 4), same({1, 0, 3, 2, 0, 1}, 2, 4), half({0, 2, 3, 1, 0, 1}, 2, 4);
    CHECK(moe::overlap(a.plan, a.plan) == 1.0);
    CHECK(moe::overlap(a.plan, same.plan) == 1.0);
    CHECK(moe::overlap(a.plan, half.plan) == 0.5);
    const hand_made::routes shorter({0, 1}, 2, 4);
    CHECK_THROWS_WITH(moe::overlap(a.plan, shorter.plan), "moe: overlap: tokens of the second plan: wanted 3, got 1");
    CHECK_THROWS_WITH(moe::affinity(a.plan, shorter.plan), "moe: affinity: tokens of the second plan: wanted 3, got 1");
}
