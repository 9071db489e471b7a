#include "moe/metrics/margin.hpp"

#include "metrics/routes.hpp"

TEST_CASE("margins are the distance from pick k to pick k+1") {
    const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const auto keys = hand_made::rows({{.5, .3, .2}, {.2, .2, .6}, {1, -inf, 4}, {nan, 2, 1}, {9, 9, 9}});
    hand_made::routes r({0, 0, 0, 0, 0}, 1, 3, {}, keys);
    const auto two = moe::margins(r.routing, 2);
    CHECK(two[0] == Approx(0.1));
    CHECK(two[1] == 0.0);
    CHECK(two[2] == inf);
    CHECK(std::isnan(two[3]));
    const auto one = moe::margins(r.routing, 1);
    CHECK(one[2] == 3.0);
    CHECK(one[3] == 1.0);
    const std::vector<std::uint8_t> mask{1, 1, 1, 1, 0};
    r.in.mask = mask;
    const auto sum = moe::summarize_margins(r.routing, 2, 0.01);
    CHECK(sum.tokens == 3);
    CHECK(sum.near_ties == 1);
    CHECK(sum.smallest == 0.0);
    CHECK(sum.median == Approx(0.1));
    CHECK(sum.mean == Approx(0.05));
    CHECK_THROWS_WITH(moe::margins(r.routing, 0), "moe: margins: k: wanted at least 1, got 0");
}

TEST_CASE("margins without a rival are infinite") {
    const hand_made::routes r({0, 0}, 1, 2);
    CHECK(moe::summarize_margins(r.routing, 2).mean == std::numeric_limits<double>::infinity());
    CHECK(moe::summarize_margins(r.routing, 2).near_ties == 0);
    const hand_made::routes none({}, 1, 2);
    CHECK(moe::summarize_margins(none.routing, 1).tokens == 0);
}
