// core/code_format: which codes stand for weights
// SPDX-License-Identifier: Apache-2.0
//
// core/quantized_panels.hpp keeps weights in a format; what only names one of them includes this.
#pragma once

#include <type_traits>

#include "moe/core/config.hpp"
#include "moe/core/float16.hpp"

MOE_BEGIN

inline constexpr index_t whole_rows = 0;

namespace detail {

template <index_t group_>
struct scale_format {
    static_assert(group_ == 32 || group_ == 64 || group_ == 128 || group_ == whole_rows,
                  "moe: a scale holds for 32, 64 or 128 inputs or for whole_rows");
    static constexpr index_t group = group_;
    using scale = std::conditional_t<group == whole_rows, float, float16>;
};

// A byte as fields of bits, field 0 lowest.
template <int bits_>
struct bit_fields {
    static constexpr int bits = bits_;
    static constexpr int in_byte = 8 / bits;
    static constexpr unsigned mask = (1u << bits) - 1;

    static constexpr int get(unsigned char byte, int i) {
        return static_cast<int>((unsigned{byte} >> (i * bits)) & mask);
    }
    static constexpr unsigned char set(unsigned char byte, int i, int code) {
        const unsigned others = unsigned{byte} & ~(mask << (i * bits));
        return static_cast<unsigned char>(others | static_cast<unsigned>(code) << (i * bits));
    }
};

// A byte as five digits of base 3: the fraction 0.d0 d1 d2 d3 d4 times 256, rounded up. Times 3, its whole part is the
// first digit and what is left is the fraction of the others, so a digit takes multiplications and no division.
struct ternary_digits {
    static constexpr int in_byte = 5;
    static constexpr unsigned power[5] = {1, 3, 9, 27, 81};

    static constexpr int get(unsigned char byte, int i) {
        return static_cast<int>((unsigned{byte} * power[i] & 0xffu) * 3 >> 8);
    }
    static constexpr unsigned char set(unsigned char byte, int i, int code) {
        unsigned digits = 0;
        for (int k = 0; k < 5; ++k) digits = 3 * digits + static_cast<unsigned>(k == i ? code : get(byte, k));
        return static_cast<unsigned char>((256 * digits + 242) / 243);
    }
};

}  // namespace detail

// bits: 8 or 4, or 2 or 1 with zero points. group: inputs that share a scale, or whole_rows.
template <int bits_, index_t group_, bool zero_points_ = false>
struct code_format : detail::scale_format<group_>, detail::bit_fields<bits_> {
    static_assert(bits_ == 8 || bits_ == 4 || ((bits_ == 2 || bits_ == 1) && zero_points_),
                  "moe: codes have 8 or 4 bits, or 2 or 1 with zero points");
    static constexpr bool zero_points = zero_points_;
    static constexpr bool ternary = false;
    static constexpr int codes = 1 << bits_;
    static constexpr int zero = codes / 2;    // of a format without zero points
    static constexpr int largest = zero - 1;  // |code - zero| where weights are rounded: as far up as down
    static constexpr index_t together = 4 * (8 / bits_);
};

// Codes 0, 1 and 2 for weights of -1, 0 and 1: four in a byte, or packed, five in a byte, where a scale holds for whole
// rows (groups of a power of two inputs are no whole number of lines).
template <index_t group_, bool packed = false>
struct ternary_format : detail::scale_format<group_>,
                        std::conditional_t<packed, detail::ternary_digits, detail::bit_fields<2>> {
    static_assert(!packed || group_ == whole_rows, "moe: five ternary weights in a byte have a scale for whole_rows");
    static constexpr int bits = 2;  // of a code once it stands alone
    static constexpr bool zero_points = false;
    static constexpr bool ternary = true;
    static constexpr int codes = 3;
    static constexpr int zero = 1;
    static constexpr int largest = 1;
    static constexpr index_t together = packed ? 20 : 16;
};

// A byte of weights in a format, for what moves and saves them.
template <class Format>
struct code_byte {
    unsigned char value;
};

template <class Format>
class quantized_panels;

template <class W>
inline constexpr bool is_quantized = false;
template <class Format>
inline constexpr bool is_quantized<quantized_panels<Format>> = true;

template <index_t group>
using int8_panels = quantized_panels<code_format<8, group>>;
template <index_t group>
using int4_panels = quantized_panels<code_format<4, group>>;
template <index_t group>
using int4_zero_panels = quantized_panels<code_format<4, group, true>>;
template <index_t group>
using int2_zero_panels = quantized_panels<code_format<2, group, true>>;
template <index_t group>
using sign_panels = quantized_panels<code_format<1, group, true>>;
template <index_t group>
using ternary_panels = quantized_panels<ternary_format<group>>;
using packed_ternary_panels = quantized_panels<ternary_format<whole_rows, true>>;

MOE_END
