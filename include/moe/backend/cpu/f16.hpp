// backend/cpu: products with weights in float16, sums in float
// SPDX-License-Identifier: Apache-2.0
//
// Weights become float in registers, exactly, denormal numbers included, and meet inputs as they are, in the order of a
// product with weights in float: the bits are those of that product with the widened weights. One instruction widens a
// vector (vcvtph2ps, ARM's fcvtl); where there is none, a few on vectors of bits do. NaN stays NaN.
#pragma once

#include "moe/backend/cpu/product.hpp"

MOE_BEGIN

namespace detail {

using half_words = std::uint16_t __attribute__((vector_size(2 * simd_vector<float>::size)));

// Every code as a word. g++ 12 takes four instructions for a __builtin_convertvector that is one.
MOE_INLINE float_words words_of(half_words codes) {
#if defined(__AVX512F__)
    // With a mask, because g++ 12 warns of an uninitialised variable in the form without.
    return (float_words)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)codes);
#elif defined(__AVX2__)
    return (float_words)_mm256_cvtepu16_epi32((__m128i)codes);
#else
    return __builtin_convertvector(codes, float_words);
#endif
}

// Codes of float16 as floats, with what every instruction set has. No step meets a denormal float, which a processor
// may be told to take for zero.
MOE_INLINE simd_vector<float> widen_f16_bits(half_words codes) {
    using signed_words = std::int32_t __attribute__((vector_size(sizeof(float_words))));
    using floats = float __attribute__((vector_size(sizeof(float_words))));
    const float_words word = words_of(codes);
    const float_words size = (word & 0x7fffu) << 13;
    const float_words special = (float_words)((signed_words)size >= 0x0f800000);
    const float_words subnormal = (float_words)((signed_words)size < 0x00800000);
    const float_words normal = size + 0x38000000u + (special & 0x38000000u);
    const float_words denormal = (float_words)((floats)(size + 0x38800000u) - 0x1p-14f);
    return simd_vector<float>::from_bits((subnormal & denormal) | (~subnormal & normal) | ((word & 0x8000u) << 16));
}

#if defined(__aarch64__)
template <class Codes>
MOE_INLINE simd_vector<float> widen_f16(Codes codes) {
    if constexpr (sizeof(codes) == 8) return simd_vector<float>::from_bits(vcvt_f32_f16((float16x4_t)codes));
    else return widen_f16_bits(codes);
}
#else
MOE_INLINE simd_vector<float> widen_f16(half_words codes) { return widen_f16_bits(codes); }
#endif

struct widened_f16 {
    using scalar = float;
    using vector = simd_vector<float>;
    using weight = float16;
    using weights = vector;
    using input = float;
    using element = vector;
    static constexpr index_t together = f16_panels::together;
    static constexpr index_t width = f16_panels::width;
    static constexpr index_t registers = 1;
    // The higher the tile, the more multiply-adds share a widening.
#if defined(__AVX512F__)
    static constexpr index_t tile_rows = 12;
#else
    static constexpr index_t tile_rows = detail::tile_rows;
#endif
    static constexpr bool unrolled = false;
    static constexpr bool packs = false;
    // Widening a slice once and multiplying floats beats widening it in every tile from here on (paired runs: 9 to 14 %
    // less time for 32 and 48 rows, none for 24); bfloat16, cheaper to widen, gains nothing by it.
    using unpacked = plain_product<float>;
    static constexpr index_t rows_worth_unpacking = 28;
    static constexpr const char* name = "float16 widened by " MOE_F16_WIDENED ", multiply-add";

    MOE_INLINE static weights load(const float16* p) {
#if defined(__AVX512F__)
        return vector::from_bits(_mm512_maskz_cvtph_ps(0xffff, _mm256_load_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
        return vector::from_bits(_mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
#else
        half_words codes;
        std::memcpy(&codes, p, sizeof(codes));
        return widen_f16(codes);
#endif
    }
    static void unpack(const float16* line, float* to) {
        for (index_t j = 0; j < width; j += vector::size) load(line + j).store_aligned(to + j);
    }
    MOE_INLINE static element broadcast(const float* x) { return vector(*x); }
    MOE_INLINE static vector add(element x, weights w, vector sum) { return fma(x, w, sum); }
};

template <>
struct product_for<float, f16_panels> {
    using type = widened_f16;
};

}  // namespace detail

MOE_END
