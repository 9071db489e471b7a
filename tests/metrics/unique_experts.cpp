#include "moe/metrics/unique_experts.hpp"

#include "metrics/routes.hpp"

using hand_made::index_t;

TEST_CASE("unique experts are counted per block, with a short last block and per sequence") {
    hand_made::routes r({0, 1, 1, 0, 2, 3, -1, 3, 0, 3}, 2, 5);  // tokens {0,1} {1,0} {2,3} {3} {0,3}
    const auto two = moe::unique_experts(moe::trace_of(r.routing), 2);
    CHECK(two.blocks == 3);
    CHECK(two.mean == Approx((2 + 2 + 2) / 3.0));
    CHECK(two.largest == 2);
    const auto all = moe::unique_experts(moe::trace_of(r.routing), 100);
    CHECK(all.blocks == 1);
    CHECK(all.largest == 4);
    CHECK(all.sparsity == Approx(0.2));
    const std::vector<index_t> sequence{0, 1, 1, 5};
    r.in.sequence = sequence;
    const auto cut = moe::unique_experts(moe::trace_of(r.routing), 3);
    CHECK(cut.blocks == 3);
    CHECK(cut.mean == Approx((2 + 4 + 2) / 3.0));
}

TEST_CASE("unique experts of nothing are 0, and a block has at least one token") {
    const hand_made::routes none({}, 1, 5);
    CHECK(moe::unique_experts(moe::trace_of(none.routing), 4).mean == 0.0);
    CHECK(moe::unique_experts(moe::trace_of(none.routing), 4).blocks == 0);
    CHECK_THROWS_WITH(moe::unique_experts(moe::trace_of(none.routing), 0),
                      "moe: unique_experts: block: wanted at least 1, got 0");
}
