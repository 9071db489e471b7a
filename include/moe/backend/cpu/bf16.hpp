// backend/cpu: products with weights in bfloat16, sums in float
// SPDX-License-Identifier: Apache-2.0
//
// Inputs are rounded to bfloat16 once a call; a product of two of them is exact in float. A pair of inputs (2i, 2i+1)
// adds two fused multiply-adds to a sum, the odd one first: that is what AVX512_BF16's vdpbf16ps does, and what widened
// weights do with the instructions for float, so both give the same bits. Only denormal numbers, in weights, inputs
// and sums, differ: vdpbf16ps takes them for zeros.
//
// Which of the two: vdpbf16ps does two multiply-adds in one instruction, twice what float gets on processors that issue
// two of it in a cycle (Zen 4). Sapphire Rapids and its successors, known by AVX512_FP16, issue one every other
// cycle (measured), half of what widened weights get. ARM's bfdot rounds in another way and is not used.
#pragma once

#include "moe/backend/cpu/product.hpp"

MOE_BEGIN

namespace detail {

// The nearest numbers of bfloat16.
MOE_INLINE simd_vector<float> round_to_bf16(simd_vector<float> v) {
    const float_words word = (float_words)v.registers();
    const auto nan = (word & 0x7fffffffu) > 0x7f800000u;
    const float_words rounded = word + 0x7fffu + ((word >> 16) & 1u);
    const float_words bits = ((float_words)nan & (word | 0x00400000u)) | (~(float_words)nan & rounded);
    return simd_vector<float>::from_bits(bits & 0xffff0000u);
}

struct bf16_common {
    using scalar = float;
    using vector = simd_vector<float>;
    using weight = bfloat16;
    static constexpr index_t together = bf16_panels::together;
    static constexpr index_t width = bf16_panels::width;
    static constexpr bool packs = true;
    static constexpr std::size_t block = 64;
    static constexpr bool unrolled = false;
};

// Weights become float in registers: a shift or a mask for as many multiply-adds as the tile has rows, so the tile is
// as high as registers allow.
struct widened_bf16 : bf16_common {
    struct weights {
        vector even, odd;
    };
    struct input {
        float even, odd;
    };
    struct element {
        vector even, odd;
    };
    // Compilers for ARM keep the pairs beside their halves.
#if defined(__aarch64__)
    static constexpr index_t registers = 3;
#else
    static constexpr index_t registers = 2;
#endif
#if defined(__AVX512F__)
    static constexpr index_t tile_rows = 12;
#else
    static constexpr index_t tile_rows = detail::tile_rows;
#endif
    static constexpr const char* name = "bfloat16 widened to float, multiply-add";

    MOE_INLINE static weights load(const bfloat16* p) {
        float_words pair;
        std::memcpy(&pair, p, sizeof(pair));
        return {vector::from_bits(pair << 16), vector::from_bits(pair & 0xffff0000u)};
    }
    MOE_INLINE static element broadcast(const input* x) { return {vector(x->even), vector(x->odd)}; }
    MOE_INLINE static vector add(const element& x, const weights& w, vector sum) {
        return fma(x.even, w.even, fma(x.odd, w.odd, sum));
    }
    static void pack(const float* from, index_t count, input* to) {
        for (index_t k = 0; k < count; k += vector::size) {
            const index_t left = count - k;
            const vector v = left >= vector::size ? vector::load(from + k) : vector::load_partial(from + k, left);
            const float_words bits = (float_words)round_to_bf16(v).registers();
            std::memcpy(reinterpret_cast<char*>(to) + std::size_t(k) * sizeof(float), &bits, sizeof(bits));
        }
    }
};

#if defined(__AVX512BF16__)
struct dot_bf16 : bf16_common {
    using weights = __m512i;
    using input = std::uint32_t;
    using element = __m512i;
    static constexpr index_t registers = 1;
    static constexpr index_t tile_rows = detail::tile_rows;
    static constexpr const char* name = "bfloat16 pairs, vdpbf16ps";

    MOE_INLINE static weights load(const bfloat16* p) { return _mm512_load_si512(p); }
    MOE_INLINE static element broadcast(const input* x) { return _mm512_set1_epi32(static_cast<int>(*x)); }
    MOE_INLINE static vector add(element x, weights w, vector sum) {
        return vector::from_bits(_mm512_dpbf16_ps(sum.registers(), (__m512bh)x, (__m512bh)w));
    }
    static void pack(const float* from, index_t count, input* to) {
        for (index_t k = 0; k < count; k += 2 * vector::size) {
            const auto load = [&](index_t i) {
                if (i + vector::size <= count) return vector::load(from + i);
                return i < count ? vector::load_partial(from + i, count - i) : vector(0);
            };
            const auto both = _mm512_cvtne2ps_pbh(load(k + vector::size).registers(), load(k).registers());
            std::memcpy(to + k / 2, &both, sizeof(both));
        }
    }
};
#endif

#if MOE_BF16_DOT
using bf16_product = dot_bf16;
#else
using bf16_product = widened_bf16;
#endif

template <>
struct product_for<float, bf16_panels> {
    using type = bf16_product;
};

}  // namespace detail

MOE_END
