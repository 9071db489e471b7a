#include "moe/metrics/routing_consistency.hpp"

#include "metrics/routes.hpp"

using hand_made::index_t;

namespace {

moe::route_trace trace(const hand_made::routes& r) { return moe::trace_of(r.routing); }

}  // namespace

TEST_CASE("segment routing performance of the catalogue's trace") {
    const hand_made::routes r({0, 0, 1, 0}, 1, 3);
    const auto best = moe::segment_routing_performance(trace(r), 2);
    CHECK(best.srp == Approx(0.75));
    CHECK(best.threshold == 1);
    // Windows 00, 01, 10: five (window, expert) pairs predicted, two uses each, of six uses.
    CHECK(best.predicted == Approx(10.0 / 6));
}

TEST_CASE("segment routing performance is 1 for one expert throughout and low for even use") {
    const hand_made::routes same({2, 2, 2, 2, 2}, 1, 4);
    CHECK(moe::segment_routing_performance(trace(same), 3).srp == 1.0);
    const hand_made::routes even({0, 1, 2, 3, 0, 1, 2, 3}, 1, 4);
    CHECK(moe::segment_routing_performance(trace(even), 4).srp == Approx(0.4));
    const hand_made::routes shorter({0, 1}, 1, 2);
    CHECK(moe::segment_routing_performance(trace(shorter), 3).srp == 0.0);
    const hand_made::routes none({-1, -1}, 1, 2);
    CHECK(moe::segment_routing_performance(trace(none), 1).srp == 0.0);
}

TEST_CASE("segment cache hits of the catalogue's trace") {
    const hand_made::routes r({0, 1, 0, 2, 1, 0}, 1, 3);
    const std::int64_t wanted[3][3] = {{1, 3, 6}, {1, 4, 6}, {1, 4, 6}};
    const index_t lookahead[] = {1, 2, 4};
    for (int l = 0; l < 3; ++l) {
        for (index_t c = 1; c <= 3; ++c) {
            const auto result = moe::segment_cache_hits(trace(r), lookahead[l], c);
            CHECK(result.hits == wanted[l][c - 1]);
            CHECK(result.uses == 6);
        }
    }
}

TEST_CASE("segment cache hits do not fall with the capacity and reach 1 with all experts resident") {
    std::vector<index_t> slots;
    for (std::uint32_t t = 0, x = 7; t < 200; ++t) {
        x = x * 1664525u + 1013904223u;
        const index_t first = index_t(x >> 28) % 8;
        slots.push_back(first);
        slots.push_back((first + 1 + index_t(x >> 20) % 7) % 8);
    }
    const hand_made::routes r(slots, 2, 8);
    std::int64_t before = 0;
    for (index_t c = 1; c <= 8; ++c) {
        const auto now = moe::segment_cache_hits(trace(r), 4, c);
        CHECK(now.hits >= before);
        before = now.hits;
        if (c == 8) CHECK(now.rate() == 1.0);
    }
}

TEST_CASE("windows and caches do not cross sequences") {
    hand_made::routes r({0, 0, 1, 1}, 1, 2);
    const std::vector<index_t> sequence{0, 2, 4};
    r.in.sequence = sequence;
    CHECK(moe::segment_routing_performance(trace(r), 2).srp == 1.0);
    CHECK(moe::segment_cache_hits(trace(r), 2, 1).hits == 4);
    r.in.sequence = {};
    CHECK(moe::segment_routing_performance(trace(r), 2).srp < 1.0);
    CHECK(moe::segment_cache_hits(trace(r), 2, 1).hits == 3);
}

TEST_CASE("consistency metrics refuse empty windows and caches") {
    const hand_made::routes r({0}, 1, 1);
    CHECK_THROWS_WITH(moe::segment_routing_performance(trace(r), 0),
                      "moe: segment_routing_performance: window: wanted at least 1, got 0");
    CHECK_THROWS_WITH(moe::segment_cache_hits(trace(r), 0, 1),
                      "moe: segment_cache_hits: lookahead: wanted at least 1, got 0");
    CHECK_THROWS_WITH(moe::segment_cache_hits(trace(r), 1, 0),
                      "moe: segment_cache_hits: capacity: wanted at least 1, got 0");
}
