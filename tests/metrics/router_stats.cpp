#include "moe/metrics/router_stats.hpp"

#include "metrics/routes.hpp"

TEST_CASE("router statistics of hand-made scores and weights") {
    hand_made::routes r({0, 1, 2, -1, 0, 1}, 2, 3, {.5, .5, 1, 0, .9, .1},
                        hand_made::rows({{.5, .5, 0}, {0, 0, 2}, {7, 7, 7}}));
    const std::vector<std::uint8_t> mask{1, 1, 0};
    r.in.mask = mask;
    const moe::router_stats s(r.routing);
    CHECK(s.tokens == 2);
    CHECK(s.entropy == Approx(std::log(2.0) / 2));
    CHECK(s.confidence == Approx(0.75));
    CHECK(s.experts[2] == Approx(0.5));
    CHECK(s.mean_entropy == Approx(0.5 * std::log(4.0) + 0.5 * std::log(2.0)));
    CHECK(s.effective == Approx(1.5));
}

TEST_CASE("router statistics of nothing, and of scores that sum to 0, are zeros") {
    const hand_made::routes none({}, 1, 3);
    CHECK(moe::router_stats(none.routing).tokens == 0);
    const hand_made::routes zero({0}, 1, 3);
    const moe::router_stats s(zero.routing);
    CHECK(s.tokens == 0);
    CHECK(s.entropy == 0.0);
    CHECK(s.confidence == 0.0);
    CHECK(s.effective == 1.0);
}
