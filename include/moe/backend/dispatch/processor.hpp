// backend/dispatch: which levels of instruction sets the processor and the operating system have
// SPDX-License-Identifier: Apache-2.0
//
// Levels are named as compilers do: x86-64, x86-64-v2, x86-64-v3, x86-64-v4 (x86-64 psABI), armv8-a; and -vnni behind v3
// (with AVX-VNNI) and v4 (with AVX512_VNNI), -bf16 behind v4 (with AVX512_VNNI and AVX512_BF16), -amx behind v4 (with
// AVX512_FP16, AMX_TILE, AMX_BF16 and AMX_INT8 besides). A level also needs the operating system to save its registers
// (XCR0).
#pragma once

#include <initializer_list>
#include <string_view>

#include "moe/core/config.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

MOE_BEGIN

namespace detail {

enum class level_fit {
    unable,     // the processor lacks instructions of it
    able,       // runs, but a lower level is as fast or faster
    preferred,  // runs, and is better than lower ones
};

#if defined(__x86_64__)

struct processor_word {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

inline processor_word read_processor(unsigned leaf, unsigned part = 0) {
    processor_word w;
    if (__get_cpuid_count(leaf, part, &w.a, &w.b, &w.c, &w.d) == 0) return {};
    return w;
}

// The registers that the operating system saves, by bits of XCR0.
inline unsigned saved_registers() {
    unsigned low = 0, high = 0;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

constexpr bool has_bits(unsigned word, std::initializer_list<unsigned> places) {
    for (const unsigned place : places) {
        if ((word >> place & 1u) == 0) return false;
    }
    return true;
}

inline level_fit fit_of_level(std::string_view level) {
    if (level == "x86-64") return level_fit::preferred;
    const processor_word basic = read_processor(1), more = read_processor(7), extended = read_processor(0x80000001u);
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF
    const bool v2 = has_bits(basic.c, {0, 9, 13, 19, 20, 23}) && has_bits(extended.c, {0});
    if (level == "x86-64-v2") return v2 ? level_fit::preferred : level_fit::unable;
    // OSXSAVE; FMA, MOVBE, AVX, F16C; LZCNT; BMI1, AVX2, BMI2
    const bool saves = v2 && has_bits(basic.c, {27});
    const unsigned saved = saves ? saved_registers() : 0;
    const bool v3 = saves && has_bits(saved, {1, 2}) && has_bits(basic.c, {12, 22, 28, 29}) &&
                    has_bits(extended.c, {5}) && has_bits(more.b, {3, 5, 8});
    if (level == "x86-64-v3") return v3 ? level_fit::preferred : level_fit::unable;
    const processor_word newer = v3 ? read_processor(7, 1) : processor_word{};
    if (level == "x86-64-v3-vnni") return has_bits(newer.a, {4}) ? level_fit::preferred : level_fit::unable;
    // opmask and both halves of ZMM; AVX512F, DQ, CD, BW, VL
    const bool v4 = v3 && has_bits(saved, {5, 6, 7}) && has_bits(more.b, {16, 17, 28, 30, 31});
    if (level == "x86-64-v4") return v4 ? level_fit::preferred : level_fit::unable;
    const bool vnni = v4 && has_bits(more.c, {11});
    if (level == "x86-64-v4-vnni") return vnni ? level_fit::preferred : level_fit::unable;
    const bool bf16 = vnni && has_bits(newer.a, {5});
    if (level == "x86-64-v4-bf16" && bf16) {
        // With AVX512_FP16 weights of bfloat16 are faster widened: backend/cpu/bf16.hpp.
        return has_bits(more.d, {23}) ? level_fit::able : level_fit::preferred;
    }
    if (level == "x86-64-v4-amx" && bf16 && has_bits(more.d, {22, 23, 24, 25}) && has_bits(saved, {17, 18})) {
        return level_fit::preferred;
    }
    return level_fit::unable;
}

#else

inline level_fit fit_of_level([[maybe_unused]] std::string_view level) {
#if defined(__aarch64__)
    if (level == "armv8-a") return level_fit::preferred;
#endif
    return level_fit::unable;
}

#endif

}  // namespace detail

MOE_END
