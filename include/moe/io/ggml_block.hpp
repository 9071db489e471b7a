// io: the block formats of ggml: how GGUF files pack weights, and how blocks become floats
// SPDX-License-Identifier: Apache-2.0
//
// A block is some neighbours of a row with the scales they share; fp16 are binary16, little-endian, low(b) and high(b)
// the lower and upper four bits of a byte.
//
//     format  block   bytes                                   value of element i
//     Q8_0    32      d fp16, q int8[32]                      d * q[i]
//     Q4_0    32      d fp16, q u8[16]                        d * (c - 8)     c = low(q[i]), from 16 on high(q[i - 16])
//     Q4_1    32      d fp16, m fp16, q u8[16]                d * c + m       c as above
//     MXFP4   32      e u8, q u8[16]                          2^(e - 128) * (2 e2m1(c)), of integers: 255 is no NaN
//                                                             as a scale, and there is no -0
//     Q4_K    256     d fp16, m fp16, s u8[12], q u8[128]     d * scale(j) * c - m * least(j), j = i / 32,
//                                                             c = low(q[i / 64 * 32 + i % 32]), for odd j high
//         scale(j), least(j) of 6 bits: j < 4: s[j] & 63, s[j + 4] & 63;
//         else: low(s[j + 4]) + 16 (s[j - 4] >> 6), high(s[j + 4]) + 16 (s[j] >> 6)
//     Q6_K    256     l u8[128], h u8[64], s int8[16], d fp16  d * s[i / 16] * (c - 32), with r = i % 128:
//         c = 4 bits of l[i / 128 * 64 + r % 64], from r = 64 on the upper ones,
//             + 16 times 2 bits of h[i / 128 * 32 + r % 32], from bit r / 32 * 2 on
//
// Codes have so few bits that every product is exact in float; only the sums of Q4_1 and Q4_K round, once. Infinite and
// NaN scales give what arithmetic gives.
//
// source        github.com/ggml-org/llama.cpp, ggml/src/ggml-common.h and ggml-quants.c dequantize_row_*; the PyPI
//               package gguf 0.19, gguf/quants.py, to which tests/io/gguf.py holds every bit
#pragma once

#include <iterator>
#include <string_view>

#include "moe/core/float_codes.hpp"

MOE_BEGIN

// How weights of one type lie in a file.
struct ggml_format {
    std::string_view name;
    unsigned elements = 1;  // of a block; rows are whole blocks
    unsigned bytes = 1;     // of a block
    void (*decode)(const unsigned char* block, float* out) = nullptr;  // nullptr where blocks are not decoded
    // Where a block is whole numbers times one scale: writes the numbers and returns the scale.
    float (*split)(const unsigned char* block, int* numbers) = nullptr;
};

inline constexpr unsigned ggml_largest_block = 256;  // elements

namespace detail {

inline float f16_at(const unsigned char* p) {
    return from_f16(static_cast<std::uint16_t>(p[0] | p[1] << 8));
}
inline float int8_at(const unsigned char* p) { return static_cast<float>(static_cast<std::int8_t>(*p)); }

inline void decode_q8_0(const unsigned char* in, float* out) {
    const float d = f16_at(in);
    for (int i = 0; i < 32; ++i) out[i] = d * int8_at(in + 2 + i);
}
inline float split_q8_0(const unsigned char* in, int* numbers) {
    for (int i = 0; i < 32; ++i) numbers[i] = static_cast<std::int8_t>(in[2 + i]);
    return f16_at(in);
}

// Sixteen bytes hold 32 codes: the lower halves first.
template <class T, class F>
void decode_halves(const unsigned char* q, T* out, const F& value) {
    for (int i = 0; i < 16; ++i) {
        out[i] = value(q[i] & 15);
        out[i + 16] = value(q[i] >> 4);
    }
}

inline void decode_q4_0(const unsigned char* in, float* out) {
    decode_halves(in + 2, out, [d = f16_at(in)](int c) { return d * static_cast<float>(c - 8); });
}
inline float split_q4_0(const unsigned char* in, int* numbers) {
    decode_halves(in + 2, numbers, [](int c) { return c - 8; });
    return f16_at(in);
}
inline void decode_q4_1(const unsigned char* in, float* out) {
    decode_halves(in + 4, out, [d = f16_at(in), m = f16_at(in + 2)](int c) { return d * static_cast<float>(c) + m; });
}
inline float split_mxfp4(const unsigned char* in, int* numbers) {
    decode_halves(in + 1, numbers, [](int c) {
        return static_cast<int>(2.0f * from_e2m1(static_cast<std::uint8_t>(c)));
    });
    const std::uint32_t e = in[0];
    return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}
inline void decode_mxfp4(const unsigned char* in, float* out) {
    int twice[32];
    const float half = split_mxfp4(in, twice);
    for (int i = 0; i < 32; ++i) out[i] = half * static_cast<float>(twice[i]);
}

inline void decode_q4_k(const unsigned char* in, float* out) {
    const float d = f16_at(in), m = f16_at(in + 2);
    const unsigned char* s = in + 4;
    for (int j = 0; j < 8; ++j) {
        const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6 << 4);
        const int least = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6 << 4);
        const float step = d * static_cast<float>(scale), below = m * static_cast<float>(least);
        const unsigned char* q = in + 16 + j / 2 * 32;
        for (int i = 0; i < 32; ++i) out[32 * j + i] = step * static_cast<float>(q[i] >> 4 * (j % 2) & 15) - below;
    }
}

inline void decode_q6_k(const unsigned char* in, float* out) {
    const float d = f16_at(in + 208);
    for (int i = 0; i < 256; ++i) {
        const int half = i / 128, r = i % 128;
        const int low = in[half * 64 + r % 64] >> r / 64 * 4 & 15;
        const int high = in[128 + half * 32 + r % 32] >> r / 32 * 2 & 3;
        const float step = d * int8_at(in + 192 + i / 16);
        out[i] = step * static_cast<float>((low | high << 4) - 32);
    }
}

// By number; those without elements were taken back.
inline constexpr ggml_format ggml_formats[] = {
    {"F32", 1, 4}, {"F16", 1, 2}, {"Q4_0", 32, 18, &decode_q4_0, &split_q4_0}, {"Q4_1", 32, 20, &decode_q4_1},
    {"", 0}, {"", 0}, {"Q5_0", 32, 22}, {"Q5_1", 32, 24}, {"Q8_0", 32, 34, &decode_q8_0, &split_q8_0},
    {"Q8_1", 32, 40}, {"Q2_K", 256, 84}, {"Q3_K", 256, 110}, {"Q4_K", 256, 144, &decode_q4_k}, {"Q5_K", 256, 176},
    {"Q6_K", 256, 210, &decode_q6_k}, {"Q8_K", 256, 292}, {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74},
    {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50}, {"IQ4_NL", 32, 18}, {"IQ3_S", 256, 110}, {"IQ2_S", 256, 82},
    {"IQ4_XS", 256, 136}, {"I8", 1, 1}, {"I16", 1, 2}, {"I32", 1, 4}, {"I64", 1, 8}, {"F64", 1, 8},
    {"IQ1_M", 256, 56}, {"BF16", 1, 2}, {"", 0}, {"", 0}, {"", 0}, {"TQ1_0", 256, 54}, {"TQ2_0", 256, 66}, {"", 0},
    {"", 0}, {"", 0}, {"MXFP4", 32, 17, &decode_mxfp4, &split_mxfp4}, {"NVFP4", 64, 36}, {"Q1_0", 128, 18}};

}  // namespace detail

// nullptr for a number that no type has. Sizes of those that are not decoded are known, so that files may hold them.
inline const ggml_format* ggml_format_of(std::uint32_t type) {
    const bool known = type < std::size(detail::ggml_formats) && detail::ggml_formats[type].elements != 0;
    return known ? &detail::ggml_formats[type] : nullptr;
}

MOE_END
