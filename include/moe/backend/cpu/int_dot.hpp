// backend/cpu: sums of products of bytes in 32-bit integers, on the instructions there are
// SPDX-License-Identifier: Apache-2.0
//
// Weights are bytes without sign in [0, 255], activations have a sign and lie in [-127, 127]; four neighbouring inputs
// of an output, a quad, stand in one 32-bit element. Every engine gives the exact sum modulo 2^32, so all give the same
// bits:
//
//     quads   make<bits>(uint_words)           quads of vector::size outputs, from bytes that hold codes of `bits` bits
//     element broadcast(const word*)           a quad of activations, for all outputs
//     ints    add(element, quads, ints)        the sum of their four products, added
//     void    pack(const int8*, word*)         a quad of activations as `words` words
//
// vpdpbusd (AVX-512 VNNI, AVX-VNNI) and sdot (ARM) do it in one instruction. vpmaddubsw is not used: a sum of two
// products with a weight of 255 does not fit its 16 bits. Weights are widened to 16 bits instead, once for all rows of a
// tile, and vpmaddwd adds pairs exactly in as many instructions as vpmaddubsw with the signs moved over would take.
#pragma once

#include <string_view>

#include "moe/backend/simd.hpp"
#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

inline constexpr std::size_t register_bytes = 4 * std::size_t{simd_vector<float>::size};
using int_words = std::int32_t __attribute__((vector_size(register_bytes)));
using uint_words = std::uint32_t __attribute__((vector_size(register_bytes)));
using float_lanes = float __attribute__((vector_size(register_bytes)));

// Digits i of bytes of base 3, as ternary_digits has them: bytes at even places in the low half of 16 bits, those at
// odd places likewise and put back.
template <class Format, int i>
MOE_INLINE uint_words ternary_digit(uint_words bytes) {
    using halves = std::uint16_t __attribute__((vector_size(register_bytes)));
    constexpr std::uint16_t power = Format::power[i];
    const halves even = (((halves)bytes & 0xff) * power & 0xff) * 3 >> 8;
    const halves odd = (((halves)bytes >> 8) * power & 0xff) * 3 & 0x300;
    return (uint_words)(even | odd);
}

// What engines have in common: a register of quads, one word of activations for a quad.
struct quad_engine {
    using ints = uint_words;
    using quads = uint_words;
    using element = uint_words;
    static constexpr index_t words = 1;
    static constexpr index_t registers = 1;
    // What the engine takes from every code of so many bits.
    template <int bits>
    static constexpr int less = 0;

    MOE_INLINE static ints start(const std::uint32_t* p) { return uint_words{} + *p; }
    MOE_INLINE static ints load_ints(const float* p) {
        ints v;
        std::memcpy(&v, p, sizeof(v));
        return v;
    }
    MOE_INLINE static void store_ints(ints v, float* p) { std::memcpy(p, &v, sizeof(v)); }
    MOE_INLINE static simd_vector<float> to_float(ints v) {
        return simd_vector<float>::from_bits(__builtin_convertvector((int_words)v, float_lanes));
    }
    MOE_INLINE static uint_words load_bytes(const unsigned char* p) {
        uint_words v;
        std::memcpy(&v, p, sizeof(v));
        return v;
    }
    // Codes i of the bytes of a line, as bytes.
    template <class Format, int i>
    MOE_INLINE static uint_words narrow(uint_words line) {
        if constexpr (Format::in_byte == 1) return line;
        else if constexpr (Format::in_byte == 5) return ternary_digit<Format, i>(line);
        else return (line >> (i * Format::bits)) & (0x01010101u * Format::mask);
    }
    MOE_INLINE static element broadcast(const std::uint32_t* x) { return uint_words{} + *x; }
    // One quad of activations.
    static void pack(const std::int8_t* from, std::uint32_t* to) { std::memcpy(to, from, 4); }
};

// Shifts, masks and products of elements: everywhere.
struct generic_dot : quad_engine {
    struct element {
        uint_words k[4];
    };
    struct quads {
        uint_words k[4];
    };
    static constexpr index_t words = 4;
    static constexpr index_t registers = 4;
    static constexpr const char* name = "8 bits widened to 32, vectors";

    template <int>
    MOE_INLINE static quads make(uint_words v) { return {{v & 0xffu, (v >> 8) & 0xffu, (v >> 16) & 0xffu, v >> 24}}; }
    MOE_INLINE static element broadcast(const std::uint32_t* x) {
        return {{uint_words{} + x[0], uint_words{} + x[1], uint_words{} + x[2], uint_words{} + x[3]}};
    }
    MOE_INLINE static ints add(const element& x, const quads& w, ints sum) {
        return sum + ((x.k[0] * w.k[0] + x.k[1] * w.k[1]) + (x.k[2] * w.k[2] + x.k[3] * w.k[3]));
    }
    static void pack(const std::int8_t* from, std::uint32_t* to) {
        for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint32_t>(static_cast<std::int32_t>(from[i]));
    }
};

#if defined(__SSE2__) && (defined(__AVX2__) || !defined(__AVX__)) && (defined(__AVX512BW__) || !defined(__AVX512F__))
#define MOE_HAS_PAIR_DOT 1
// Inputs 0 and 2 of a quad in one register, 1 and 3 in another, both as 16 bits.
struct pair_dot : quad_engine {
    struct element {
        uint_words even, odd;
    };
    struct quads {
        uint_words even, odd;
    };
    static constexpr index_t words = 2;
    static constexpr index_t registers = 2;
    static constexpr const char* name = "8 bits widened to 16, vpmaddwd";

    template <int>
    MOE_INLINE static quads make(uint_words v) { return {v & 0x00ff00ffu, (v >> 8) & 0x00ff00ffu}; }
    MOE_INLINE static element broadcast(const std::uint32_t* x) { return {uint_words{} + x[0], uint_words{} + x[1]}; }
    MOE_INLINE static uint_words multiply_pairs(uint_words a, uint_words b) {
#if defined(__AVX512BW__)
        return (uint_words)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
        return (uint_words)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
        return (uint_words)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
    }
    MOE_INLINE static ints add(const element& x, const quads& w, ints sum) {
        sum += multiply_pairs(x.even, w.even);
        return sum + multiply_pairs(x.odd, w.odd);
    }
    static void pack(const std::int8_t* from, std::uint32_t* to) {
        const auto half = [&](int i) { return static_cast<std::uint32_t>(from[i]) & 0xffffu; };
        to[0] = half(0) | half(2) << 16;
        to[1] = half(1) | half(3) << 16;
    }
};
#endif

#if MOE_VNNI_DOT
#define MOE_HAS_VNNI_DOT 1
struct vnni_dot : quad_engine {
#if defined(__AVX512F__)
    static constexpr const char* name = "8 bits, vpdpbusd (AVX-512 VNNI)";
#else
    static constexpr const char* name = "8 bits, vpdpbusd (AVX-VNNI)";
#endif
    template <int>
    MOE_INLINE static quads make(uint_words v) { return v; }
    MOE_INLINE static ints add(element x, quads w, ints sum) {
#if defined(__AVX512F__)
        return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
#else
        return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
#endif
    }
};
#endif

#if defined(__aarch64__) && defined(__ARM_NEON)
#define MOE_HAS_NEON_DOT 1
// ARM's products want signs on both sides: weights of 8 bits are taken as 128 less, which `start` makes good.
struct neon_dot : quad_engine {
#if defined(__ARM_FEATURE_DOTPROD)
    static constexpr const char* name = "8 bits, sdot";
#else
    static constexpr const char* name = "8 bits, smull and sadalp";
#endif
    template <int bits>
    static constexpr int less = bits == 8 ? 128 : 0;

    template <int bits>
    MOE_INLINE static quads make(uint_words v) {
        return bits == 8 ? v ^ 0x80808080u : v;
    }
    MOE_INLINE static ints add(element x, quads w, ints sum) {
        const int8x16_t a = (int8x16_t)w;
        const int8x16_t b = (int8x16_t)x;
#if defined(__ARM_FEATURE_DOTPROD)
        return (ints)vdotq_s32((int32x4_t)sum, a, b);
#else
        // 2 * 128 * 127 fits 16 bits.
        const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
        const int16x8_t high = vmull_high_s8(a, b);
        return (ints)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
#endif
    }
};
#endif

#if defined(MOE_HAS_VNNI_DOT)
using int_dot = vnni_dot;
#elif defined(MOE_HAS_PAIR_DOT)
using int_dot = pair_dot;
#elif defined(MOE_HAS_NEON_DOT)
using int_dot = neon_dot;
#else
using int_dot = generic_dot;
#endif
static_assert(std::string_view(int_dot::name).find(MOE_CODES_DOT) != std::string_view::npos,
              "build_info() names what runs");

}  // namespace detail

MOE_END
