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

    MOE_FN operator float() const { return from_f16(bits); }
};

// Scalars of half the width of a float, which a layer widens when it is called.
template <class T>
inline constexpr bool is_half = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;

MOE_END
