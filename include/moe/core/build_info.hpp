// core/build_info: what this translation unit was compiled for
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/config.hpp"

MOE_BEGIN

struct build_information {
    const char* version;  // "0.1.0"
    const char* isa;      // the instruction set of the kernels, e.g. "avx512_bf16_vnni", "avx2_fma", "sse2"
    // What multiplies bfloat16 weights on the CPU: "tdpbf16ps" where the system grants its registers (product_name()
    // knows), "vdpbf16ps", or "widened" to float vectors.
    const char* bf16;
    const char* f16;      // what widens float16 weights on the CPU: "vcvtph2ps", "fcvtl" or "vectors of bits"
    const char* codes;    // what multiplies codes of 8 or 4 bits: "vpdpbusd", "vpmaddwd", "sdot", "smull" or "vectors"
    bool fma;             // the kernels have a fused multiply-add instruction; if not, see the README about -march
};

constexpr build_information build_info() {
#if defined(__FMA__) || defined(__AVX512F__) || defined(__aarch64__)
    constexpr bool fma = true;
#else
    constexpr bool fma = false;
#endif
    return {MOE_STRING(MOE_VERSION_MAJOR) "." MOE_STRING(MOE_VERSION_MINOR) "." MOE_STRING(MOE_VERSION_PATCH),
            MOE_STRING(MOE_ISA), MOE_TILES ? "tdpbf16ps" : MOE_BF16_DOT ? "vdpbf16ps" : "widened", MOE_F16_WIDENED,
            MOE_CODES_DOT, fma};
}

MOE_END
