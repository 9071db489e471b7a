// core/bfloat16: the upper half of a float: 8 bits of exponent, 7 of fraction
// SPDX-License-Identifier: Apache-2.0
//
// Rounds to nearest, ties to even: a relative error of at most 2^-8 for normal numbers; numbers beyond the largest
// become infinite, NaN stays NaN and becomes quiet. Back to float is exact. For storage: arithmetic happens in float.
#pragma once

#include <cstring>
#include <type_traits>

#include "moe/core/float_codes.hpp"

MOE_BEGIN

struct bfloat16 {
    std::uint16_t bits = 0;

    bfloat16() = default;
    template <class S>
        requires std::is_arithmetic_v<S>
    MOE_FN explicit bfloat16(S value) : bits(to_bf16(static_cast<double>(value))) {}
    // The same, quicker.
    MOE_FN explicit bfloat16(float value) {
        std::uint32_t word;
        std::memcpy(&word, &value, sizeof(word));
        if ((word & 0x7fffffffu) > 0x7f800000u) word |= 0x00400000u;
        else word += 0x7fffu + ((word >> 16) & 1u);
        bits = static_cast<std::uint16_t>(word >> 16);
    }

    MOE_FN operator float() const {
        const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &word, sizeof(value));
        return value;
    }
};

MOE_END
