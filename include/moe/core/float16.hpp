// core/float16: IEEE 754 binary16: 5 bits of exponent, 10 of fraction
// SPDX-License-Identifier: Apache-2.0
//
// Rounds to nearest, ties to even, once from double: a relative error of at most 2^-11 for numbers of magnitude 2^-14 to
// 65504; smaller ones are subnormal or 0, larger ones infinite, NaN stays NaN. Back to float is exact. For storage:
// arithmetic happens in float.
#pragma once

#include "moe/core/bfloat16.hpp"
#include "moe/core/float_codes.hpp"

MOE_BEGIN

struct float16 {
    std::uint16_t bits = 0;

    float16() = default;
    template <class S>
        requires std::is_arithmetic_v<S>
    MOE_FN explicit float16(S value) : bits(to_f16(static_cast<double>(value))) {}
    // The same, quicker.
    MOE_FN explicit float16(float value) {
        std::uint32_t word;
        std::memcpy(&word, &value, sizeof(word));
        const std::uint32_t size = word & 0x7fffffffu;
        bits = static_cast<std::uint16_t>((word >> 16 & 0x8000u) | rounded(size));
    }

    MOE_FN operator float() const {
        const std::uint32_t size = std::uint32_t{bits & 0x7fffu} << 13;
        std::uint32_t word = size + 0x38000000u;       // 15 becomes 127 as the bias of the exponent
        if (size >= 0x0f800000u) word += 0x38000000u;  // infinity and NaN: 31 becomes 255
        float value;
        if (size < 0x00800000u) {
            value = static_cast<float>(bits & 0x3ffu) * 0x1p-24f;
            std::memcpy(&word, &value, sizeof(word));
        }
        word |= std::uint32_t{bits & 0x8000u} << 16;
        std::memcpy(&value, &word, sizeof(value));
        return value;
    }

private:
    // The code of a float without sign.
    MOE_FN static std::uint32_t rounded(std::uint32_t size) {
        if (size > 0x7f800000u) return 0x7e00u | (size >> 13 & 0x3ffu);
        if (size >= 0x47800000u) return 0x7c00u;  // 65536
        if (size >= 0x38800000u) return (size - 0x38000000u + 0x0fffu + (size >> 13 & 1u)) >> 13;
        if (size < 0x33000000u) return 0;  // below half of the least subnormal, 2^-24
        const std::uint32_t drop = 126 - (size >> 23);
        const std::uint32_t significand = (size & 0x007fffffu) | 0x00800000u;
        return (significand + (1u << (drop - 1)) - 1 + (significand >> drop & 1u)) >> drop;
    }
};

// Scalars of half the width of a float, which a layer widens when it is called.
template <class T>
inline constexpr bool is_half = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;

MOE_END
