#include "moe/core/rng.hpp"

#include <set>

#include "support/catch.hpp"

TEST_CASE("Philox 4x32-10 gives the words of its authors' known answers") {
    // Random123's known-answer vector for a counter and key of zeros.
    const moe::random_stream r(0, 0, 0);
    const auto w = r.words(0, 0);
    CHECK(w == std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
}

TEST_CASE("seed, stream, step, row and column all change the number") {
    std::set<double> seen;
    for (const std::uint64_t seed : {1u, 2u}) {
        for (const char* name : {"a", "b"}) {
            for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
                const moe::random_stream r(seed, moe::stream_id(name), step);
                for (const std::uint64_t row : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
                    for (const std::uint32_t column : {0u, 1u}) seen.insert(r.uniform(row, column));
                }
            }
        }
    }
    CHECK(seen.size() == 2 * 2 * 3 * 3 * 2);
}

TEST_CASE("uniform numbers lie strictly inside (0, 1) with the moments of a uniform") {
    const moe::random_stream r(3, moe::stream_id("moments"));
    double sum = 0.0, squares = 0.0;
    const int n = 20000;
    for (int i = 0; i < n; ++i) {
        const double u = r.uniform(static_cast<std::uint64_t>(i), 0);
        REQUIRE(u > 0.0);
        REQUIRE(u < 1.0);
        sum += u;
        squares += u * u;
    }
    CHECK(sum / n == Approx(0.5).margin(0.01));
    CHECK(squares / n == Approx(1.0 / 3).margin(0.01));
}

TEST_CASE("normal and Gumbel numbers have the moments of their distributions") {
    const moe::random_stream r(3, moe::stream_id("moments"));
    double sum = 0.0, squares = 0.0, gumbel = 0.0;
    const int n = 20000;
    for (int i = 0; i < n; ++i) {
        const double z = r.normal(static_cast<std::uint64_t>(i), 1);
        sum += z;
        squares += z * z;
        gumbel += r.gumbel(static_cast<std::uint64_t>(i), 2);
    }
    CHECK(sum / n == Approx(0.0).margin(0.03));
    CHECK(squares / n == Approx(1.0).margin(0.04));
    CHECK(gumbel / n == Approx(0.5772).margin(0.03));
}
