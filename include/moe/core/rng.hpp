// core/rng: random numbers as a pure function of (seed, stream, step, token, column)
// SPDX-License-Identifier: Apache-2.0
//
// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011): a counter goes in, four words come out, nothing is remembered. A
// number depends on the global token number, not on the batch or the thread that asks, so noise is the same however
// tokens are cut into batches. Streams are named: two steps that draw for the same token and column use other names.
#pragma once

#include <array>
#include <cmath>
#include <string_view>

#include "moe/core/config.hpp"

MOE_BEGIN

// FNV-1a of a stream's name.
constexpr std::uint64_t stream_id(std::string_view name) {
    std::uint64_t h = 14695981039346656037ull;
    for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    return h;
}

class random_stream {
public:
    MOE_FN constexpr random_stream(std::uint64_t seed, std::uint64_t stream, std::uint64_t step = 0)
        : key_{seed ^ (stream * 0x9E3779B97F4A7C15ull)}, step_(step) {}

    // Four independent words for (row, column).
    MOE_FN constexpr std::array<std::uint32_t, 4> words(std::uint64_t row, std::uint32_t column) const {
        std::array<std::uint32_t, 4> c{static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32), column,
                                       static_cast<std::uint32_t>(step_)};
        // The high half of the step goes into the key: counters stay within 128 bits.
        std::uint32_t k0 = static_cast<std::uint32_t>(key_);
        std::uint32_t k1 = static_cast<std::uint32_t>(key_ >> 32) ^ static_cast<std::uint32_t>(step_ >> 32);
        for (int round = 0; round < 10; ++round) {
            const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
            const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
            c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
                 static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        return c;
    }

    // In (0, 1), never an end point.
    MOE_FN constexpr double uniform(std::uint64_t row, std::uint32_t column) const {
        const auto w = words(row, column);
        return unit(w[0], w[1]);
    }

    // Standard normal (Box and Muller).
    MOE_FN double normal(std::uint64_t row, std::uint32_t column) const {
        const auto w = words(row, column);
        return std::sqrt(-2.0 * std::log(unit(w[0], w[1]))) * std::cos(6.283185307179586 * unit(w[2], w[3]));
    }

    // Standard Gumbel, -log(-log(u)).
    MOE_FN double gumbel(std::uint64_t row, std::uint32_t column) const {
        return -std::log(-std::log(uniform(row, column)));
    }

private:
    MOE_FN static constexpr double unit(std::uint32_t high, std::uint32_t low) {
        const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 12;
        return (static_cast<double>(bits) + 0.5) * 0x1p-52;
    }

    std::uint64_t key_;
    std::uint64_t step_;
};

MOE_END
