#include "moe/select/rank_set.hpp"

#include "moe/select/top_k.hpp"
#include "select/hand.hpp"

TEST_CASE("rank_set takes the experts at its ranks, in its order") {
    CHECK(chosen_by(moe::rank_set{{2, 0}}, {{0.5, 0.3, 0.2}, {0.1, 0.2, 0.7}}).expert == ids{2, 0, 0, 2});
}

TEST_CASE("rank_set of the first k ranks chooses as top_k") {
    moe::reference backend;
    for (int kind = 0; kind < moe::testing::score_kinds; ++kind) {
        const auto keys = keys_of<float>(moe::testing::score_kind(kind), 20, 6);
        CHECK(moe::testing::choose(backend, moe::rank_set{{0, 1, 2}}, moe::batch<float>{}, keys) ==
              moe::testing::choose(backend, moe::top_k{.k = 3}, moe::batch<float>{}, keys));
    }
}

TEST_CASE("rank_set names the rank that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::rank_set{{0, 4}}.check(in, 4, 4)), "moe: rank_set.ranks[1]: wanted 0 to 3, got 4");
    CHECK_THROWS_WITH((moe::rank_set{{1, 1}}.check(in, 4, 4)),
                      "moe: rank_set.ranks[1]: wanted a rank that is not given yet, got 1");
}
