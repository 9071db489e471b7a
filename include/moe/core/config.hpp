// core/config: what every header agrees on: namespace, MOE_FN, index type
// SPDX-License-Identifier: Apache-2.0
//
// Everything that emits code lives in an inline namespace that names version and instruction set. Translation units
// compiled with different -march flags can then be linked into one program: each keeps its own copy of every inline
// function, and passing a moe object from one to the other is a link error instead of a crash.
#pragma once

#include <cstddef>
#include <cstdint>

#include "moe/core/version.hpp"

#if defined(_MSVC_LANG)
#define MOE_CPLUSPLUS _MSVC_LANG
#else
#define MOE_CPLUSPLUS __cplusplus
#endif
#if MOE_CPLUSPLUS < 202002L
#error "moe needs C++20: compile with -std=c++20 or newer"
#endif

// Whether products run on AMX where the system grants it; backend/cpu/amx.hpp says how.
#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && (defined(__AMX_INT8__) || defined(__AMXINT8__)) && \
    defined(__AVX512BF16__) && defined(__AVX512FP16__) && defined(__linux__)
#define MOE_TILES 1
#else
#define MOE_TILES 0
#endif

// One letter group per instruction set that changes generated code.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#if MOE_TILES
#define MOE_ISA_NAME avx512_bf16_fp16_amx
#elif defined(__AVX512BF16__) && defined(__AVX512FP16__)
#define MOE_ISA_NAME avx512_bf16_fp16
#elif defined(__AVX512BF16__)
#define MOE_ISA_NAME avx512_bf16
#else
#define MOE_ISA_NAME avx512
#endif
#elif defined(__AVX512F__)
#define MOE_ISA_NAME avx512f
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define MOE_ISA_NAME avx2_fma
#elif defined(__AVX2__) && defined(__FMA__)
#define MOE_ISA_NAME avx2_fma_without_f16c
#elif defined(__AVX2__)
#define MOE_ISA_NAME avx2
#elif defined(__AVX__)
#define MOE_ISA_NAME avx
#elif defined(__SSE4_2__)
#define MOE_ISA_NAME sse4_2
#elif defined(__x86_64__) || defined(_M_X64)
#define MOE_ISA_NAME sse2
#elif defined(__ARM_FEATURE_SVE)
#define MOE_ISA_NAME sve
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MOE_ISA_NAME neon64
#else
#define MOE_ISA_NAME generic
#endif

// Whether products with bfloat16 weights run on vdpbf16ps; backend/cpu/bf16.hpp says why not everywhere it exists.
#if defined(__AVX512BF16__) && !defined(__AVX512FP16__)
#define MOE_BF16_DOT 1
#else
#define MOE_BF16_DOT 0
#endif

// What multiplies weights in codes: backend/cpu/int_dot.hpp. It adds letters to the name of the instruction set where a
// level that has it runs other code than one that lacks it.
#if (defined(__AVX512VNNI__) && defined(__AVX512F__)) || (defined(__AVXVNNI__) && !defined(__AVX512F__))
#define MOE_VNNI_DOT 1
#define MOE_CODES_DOT "vpdpbusd"
#define MOE_CODES_LETTERS _vnni
#elif defined(__ARM_FEATURE_DOTPROD)
#define MOE_CODES_DOT "sdot"
#define MOE_CODES_LETTERS _dotprod
#else
#define MOE_CODES_LETTERS
// AVX without AVX2 and AVX-512 without BW lack it in the width of their floats.
#if defined(__SSE2__) && (defined(__AVX2__) || !defined(__AVX__)) && (defined(__AVX512BW__) || !defined(__AVX512F__))
#define MOE_CODES_DOT "vpmaddwd"
#elif defined(__aarch64__)
#define MOE_CODES_DOT "smull"
#else
#define MOE_CODES_DOT "vectors"
#endif
#endif
#ifndef MOE_VNNI_DOT
#define MOE_VNNI_DOT 0
#endif

// What widens float16 weights to vectors of float.
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__) && defined(__F16C__))
#define MOE_F16_WIDENED "vcvtph2ps"
#elif defined(__aarch64__)
#define MOE_F16_WIDENED "fcvtl"
#else
#define MOE_F16_WIDENED "vectors of bits"
#endif

#define MOE_JOIN_ISA_(vectors, codes) vectors##codes
#define MOE_JOIN_ISA(vectors, codes) MOE_JOIN_ISA_(vectors, codes)
#define MOE_ISA MOE_JOIN_ISA(MOE_ISA_NAME, MOE_CODES_LETTERS)
#define MOE_JOIN_(major, minor, isa) v##major##_##minor##_##isa
#define MOE_JOIN(major, minor, isa) MOE_JOIN_(major, minor, isa)
#define MOE_ABI MOE_JOIN(MOE_VERSION_MAJOR, MOE_VERSION_MINOR, MOE_ISA)
#define MOE_STRING_(x) #x
#define MOE_STRING(x) MOE_STRING_(x)

#define MOE_BEGIN     \
    namespace moe {   \
    inline namespace MOE_ABI {
#define MOE_END \
    }           \
    }

// MOE_FN marks functions that a device backend runs in its kernels, MOE_ROW a lambda that is a row program:
// `[=] MOE_ROW(index_t t) { ... }`. Such a lambda has no init captures, does not capture `this`, and stands in a public
// function or a free one: nvcc, which needs --extended-lambda for it, asks for that.
#if defined(__CUDACC__)
#define MOE_FN __host__ __device__
#else
#define MOE_FN
#endif
#if defined(__CUDACC_EXTENDED_LAMBDA__)
#define MOE_ROW __host__ __device__
#else
#define MOE_ROW
#endif

MOE_BEGIN

using index_t = std::int32_t;  // tokens, experts, features, routes; byte counts are std::size_t

MOE_END
