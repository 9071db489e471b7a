// core/float_codes: small floating-point formats: code -> value, exactly, and value -> code, rounded once
// SPDX-License-Identifier: Apache-2.0
//
// A code is sign, exponent e and fraction f, from the top bit down; with bias b = 2^(exponent bits - 1) - 1
//
//     e > 0    (1 + f / 2^fraction bits) * 2^(e - b)          e = 0    f / 2^fraction bits * 2^(1 - b)
//
//     format   bits      largest    specials
//     f16      1-5-10    65504      e = 31: infinity (f = 0) or NaN                        IEEE 754 binary16
//     bf16     1-8-7     3.39e38    e = 255: infinity (f = 0) or NaN                       the upper half of a float
//     e5m2     1-5-2     57344      e = 31: infinity (f = 0) or NaN                        OCP 8-bit floating point 1.0
//     e4m3     1-4-3     448        e = 15, f = 7: NaN; no infinities ("e4m3fn")           OCP 8-bit floating point 1.0
//     e2m1     1-2-1     6          none: 0 0.5 1 1.5 2 3 4 6 and their negatives          OCP microscaling formats 1.0
//     e8m0     0-8-0     2^127      255: NaN; else 2^(code - 127), never 0: a scale        OCP microscaling formats 1.0
//
// Every value is a float, subnormals and -0 included, and does not depend on the modes of the floating-point unit. NaN
// keeps its sign and, where there is room, its payload. Encoding rounds to nearest, ties to even; what is too large
// becomes infinity.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

enum class float_specials { ieee, nan_only, none };

template <int exponent_bits, int fraction_bits, float_specials specials>
constexpr float decode_float(std::uint32_t code) {
    constexpr std::uint32_t last_exponent = (1u << exponent_bits) - 1;
    constexpr std::uint32_t last_fraction = (1u << fraction_bits) - 1;
    constexpr std::uint32_t rebias = 128u - (1u << (exponent_bits - 1));
    const std::uint32_t sign = (code >> (exponent_bits + fraction_bits)) << 31;
    const std::uint32_t exponent = (code >> fraction_bits) & last_exponent;
    const std::uint32_t fraction = code & last_fraction;
    const std::uint32_t wide_fraction = fraction << (23 - fraction_bits);
    const bool special = exponent == last_exponent &&
                         (specials == float_specials::ieee ||
                          (specials == float_specials::nan_only && fraction == last_fraction));
    if (special) return std::bit_cast<float>(sign | 0x7f800000u | wide_fraction);
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + rebias) << 23) | wide_fraction);
    // The leading one of a subnormal's fraction becomes the implicit one of a float. With 8 exponent bits a subnormal
    // stays one.
    if (fraction == 0 || exponent_bits == 8) return std::bit_cast<float>(sign | wide_fraction);
    const std::uint32_t shift = static_cast<std::uint32_t>(std::countl_zero(fraction)) - (31 - fraction_bits);
    return std::bit_cast<float>(sign | ((rebias + 1 - shift) << 23) | ((wide_fraction << shift) & 0x7fffffu));
}

// For formats with infinities.
template <int exponent_bits, int fraction_bits>
constexpr std::uint32_t encode_float(double value) {
    constexpr std::uint64_t infinity = std::uint64_t{(1u << exponent_bits) - 1} << fraction_bits;
    constexpr int bias = (1 << (exponent_bits - 1)) - 1;
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const std::uint64_t sign = (bits >> 63) << (exponent_bits + fraction_bits);
    const int wide_exponent = static_cast<int>((bits >> 52) & 2047);
    const std::uint64_t wide_fraction = bits & ((std::uint64_t{1} << 52) - 1);
    if (wide_exponent == 2047) {
        const std::uint64_t quiet = std::uint64_t{1} << (fraction_bits - 1);
        const std::uint64_t payload = wide_fraction == 0 ? 0 : quiet | (wide_fraction >> (52 - fraction_bits));
        return static_cast<std::uint32_t>(sign | infinity | payload);
    }
    const int exponent = wide_exponent - 1023 + bias;
    const int drop = 52 - fraction_bits + (exponent < 1 ? 1 - exponent : 0);
    if (drop >= 54 || wide_exponent == 0) return static_cast<std::uint32_t>(sign);  // below half of the least code
    const std::uint64_t significand = wide_fraction | (std::uint64_t{1} << 52);
    const std::uint64_t half = std::uint64_t{1} << (drop - 1);
    const std::uint64_t rounded = (significand + half - 1 + ((significand >> drop) & 1)) >> drop;
    // The implicit one of a normal number, and a carry out of the fraction, count the exponent up.
    const std::uint64_t below = exponent < 1 ? 0 : static_cast<std::uint64_t>(exponent - 1) << fraction_bits;
    const std::uint64_t code = below + rounded;
    return static_cast<std::uint32_t>(sign | (code < infinity ? code : infinity));
}

}  // namespace detail

constexpr float from_f16(std::uint16_t code) {
    return detail::decode_float<5, 10, detail::float_specials::ieee>(code);
}
constexpr float from_bf16(std::uint16_t code) {
    return detail::decode_float<8, 7, detail::float_specials::ieee>(code);
}
constexpr float from_e5m2(std::uint8_t code) {
    return detail::decode_float<5, 2, detail::float_specials::ieee>(code);
}
constexpr float from_e4m3(std::uint8_t code) {
    return detail::decode_float<4, 3, detail::float_specials::nan_only>(code);
}
// Of the lower four bits.
constexpr float from_e2m1(std::uint8_t code) {
    return detail::decode_float<2, 1, detail::float_specials::none>(code & 15u);
}
constexpr float from_e8m0(std::uint8_t code) {
    if (code == 255) return std::numeric_limits<float>::quiet_NaN();
    return std::bit_cast<float>(code == 0 ? std::uint32_t{1} << 22 : std::uint32_t{code} << 23);
}

constexpr std::uint16_t to_f16(double value) { return static_cast<std::uint16_t>(detail::encode_float<5, 10>(value)); }
constexpr std::uint16_t to_bf16(double value) { return static_cast<std::uint16_t>(detail::encode_float<8, 7>(value)); }

MOE_END
