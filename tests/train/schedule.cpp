#include "moe/train/schedule.hpp"

#include <cfenv>

#include "support/catch.hpp"

TEST_CASE("a linear schedule goes from one end to the other and stays there") {
    const moe::linear_schedule s{.from = 8, .to = 16, .steps = 100, .begin = 10};
    CHECK(s(0) == 8.0);
    CHECK(s(10) == 8.0);
    CHECK(s(60) == 12.0);
    CHECK(s(110) == 16.0);
    CHECK(s(~std::uint64_t{0}) == 16.0);
}

TEST_CASE("cosine schedules start flat, end flat or steep") {
    const moe::cosine_schedule s{.from = 1.0, .to = 0.5, .steps = 4};
    CHECK(s(0) == 1.0);
    CHECK(s(2) == Approx(0.75));
    CHECK(s(1) == Approx(0.5 + 0.25 * (1 + std::sqrt(0.5))));
    CHECK(s(4) == 0.5);
    const moe::quarter_cosine_schedule q{.from = 16, .to = 8, .steps = 2};
    CHECK(q(0) == 16.0);
    CHECK(q(1) == Approx(8 + 8 * std::sqrt(0.5)));
    CHECK(q(2) == 8.0);
}

TEST_CASE("an exponential schedule multiplies by the same factor every step") {
    const moe::exponential_schedule s{.from = 1e-1, .to = 1e-3, .steps = 2};
    CHECK(s(1) == Approx(1e-2));
    CHECK(s(2) == 1e-3);
    CHECK(s(3) == 1e-3);
}

TEST_CASE("a table changes exactly at its steps") {
    const moe::schedule_entry entries[] = {{0, 4.0}, {100, 2.0}, {200, 1.0}};
    const moe::table_schedule s{entries};
    CHECK(s(0) == 4.0);
    CHECK(s(99) == 4.0);
    CHECK(s(100) == 2.0);
    CHECK(s(199) == 2.0);
    CHECK(s(200) == 1.0);
    CHECK(s(1000000) == 1.0);
}

TEST_CASE("a warm-up climbs to another schedule") {
    const moe::warm_up s{moe::constant_schedule{.value = 8.0}, 4};
    CHECK(s(0) == 2.0);
    CHECK(s(2) == 6.0);
    CHECK(s(3) == 8.0);
    CHECK(s(100) == 8.0);
}

TEST_CASE("rounded takes halves to the even number in every rounding mode") {
    for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD}) {
        std::fesetround(mode);
        const moe::index_t got[] = {moe::rounded(0.5),  moe::rounded(1.5),  moe::rounded(2.5), moe::rounded(-0.5),
                                    moe::rounded(-1.5), moe::rounded(2.49), moe::rounded(2.51), moe::rounded(-7.0)};
        std::fesetround(FE_TONEAREST);
        const moe::index_t wanted[] = {0, 2, 2, 0, -2, 2, 3, -7};
        for (int i = 0; i < 8; ++i) CHECK(got[i] == wanted[i]);
    }
    CHECK_THROWS_AS(moe::rounded(1e10), moe::value_error);
    CHECK_THROWS_AS(moe::rounded(std::nan("")), moe::value_error);
}

TEST_CASE("schedules name wrong options") {
    CHECK_THROWS_WITH((moe::linear_schedule{.steps = 0}(0)), "moe: linear_schedule.steps: wanted at least 1, got 0");
    CHECK_THROWS_WITH((moe::exponential_schedule{.from = 0.0}(0)),
                      "moe: exponential_schedule.from: wanted above 0, got 0.000000");
    CHECK_THROWS_WITH(moe::table_schedule{}(0), "moe: table_schedule.entries: wanted at least one, got none");
    const moe::schedule_entry falling[] = {{5, 1.0}, {5, 2.0}};
    CHECK_THROWS_WITH(moe::table_schedule{falling}(9), "moe: table_schedule.entries[1].step: wanted above 5, got 5");
}
