#include "moe/select/global_top.hpp"

#include "select/hand.hpp"

TEST_CASE("global_top takes exactly K pairs, and ties go to the lower token, then the lower expert") {
    CHECK(chosen_by(moe::global_top{}, {{1, 1, 1}, {1, 1, 1}}).offset == ids{0, 2, 2});
    CHECK(chosen_by(moe::global_top{}, {{1, 1, 1}, {1, 1, 1}}).expert == ids{0, 1});
    CHECK(chosen_by(moe::global_top{.experts_per_token = 2}, {{1, 1, 0}, {3, 1, 1}}).expert == ids{0, 1, 0, 1});
    CHECK(chosen_by(moe::global_top{.experts_per_token = 9}, {{1, 1, 0}, {3, 1, 1}}).expert == ids{0, 1, 2, 0, 1, 2});
    CHECK(chosen_by(moe::global_top{.experts_per_token = 0}, {{1, 1, 0}}).expert == ids{});
}

TEST_CASE("global_top with keep_ties takes all that equal the last pair") {
    const auto c = chosen_by(moe::global_top{.keep_ties = true}, {{1, 0, 1}, {2, 1, 0}});
    CHECK(c.offset == ids{0, 2, 4});
    CHECK(c.expert == ids{0, 2, 0, 1});
}

TEST_CASE("global_top neither takes nor counts masked tokens, and takes k from the call") {
    const std::uint8_t mask[3] = {1, 0, 1};
    moe::batch<double> in;
    in.mask = mask;
    const std::vector<std::vector<double>> keys = {{1, 2}, {9, 9}, {0, 3}};
    CHECK(chosen_by(moe::global_top{}, keys, in).offset == ids{0, 1, 1, 2});
    in.k = 2;
    CHECK(chosen_by(moe::global_top{}, keys, in).offset == ids{0, 2, 2, 4});
}

TEST_CASE("global_top names what is wrong") {
    CHECK_THROWS_WITH((moe::global_top{.experts_per_token = -1}.check(moe::batch<float>{}, 4, 4)),
                      "moe: global_top.experts_per_token: wanted at least 0, got -1.000000");
    moe::batch<float> in;
    in.x = moe::matrix_view<const float>(nullptr, 2147483647, 3, 3);
    CHECK_THROWS_WITH((moe::global_top{}.check(in, 4, 4)),
                      "moe: global_top: tokens * experts: wanted at most 2147483647, got 8589934588");
}
