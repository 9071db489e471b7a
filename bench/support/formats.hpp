// bench/support: how a layer's weights are kept, and what arithmetic they are measured against
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/experts/weight_storage.hpp"
#include "support/machine.hpp"

namespace bench {

// Weights as activations, against the rate of fused multiply-adds.
template <class T>
struct same_format {
    using scalar = T;
    using storage = moe::same_scalar;
    static constexpr double bytes = sizeof(T);        // of a weight
    static constexpr double tolerated = sizeof(T) == 4 ? 1e-4 : 1e-11;  // of the largest element of a result
    static double rate(index_t threads, long rounds) { return arithmetic_rate<T>(threads, rounds); }
};

struct f32 : same_format<float> {
    static constexpr const char* name = "f32";
};
// With hidden values that backward computes again.
struct f32_recompute : f32 {
    static constexpr bool recomputes = true;
};
struct f64 : same_format<double> {
    static constexpr const char* name = "f64";
};

// Weights in float16, widened to float, the limit.
struct f16 {
    static constexpr const char* name = "f16";
    using scalar = float;
    using storage = moe::f16_weights;
    static constexpr double bytes = 2;
    static constexpr double tolerated = f32::tolerated;
    static double rate(index_t threads, long rounds) { return arithmetic_rate<float>(threads, rounds); }
};

// Weights in bfloat16, activations and sums in float. The limit is the faster of two units: dot products of pairs, or
// float's, to which weights are widened.
struct bf16 {
    static constexpr const char* name = "bf16";
    using scalar = float;
    using storage = moe::bf16_weights;
    static constexpr double bytes = 2;
    static constexpr double tolerated = 1e-2;  // inputs are rounded to 8 bits
    static double rate(index_t threads, long rounds) {
        const double fma = arithmetic_rate<float>(threads, rounds);
#if defined(__AVX512BF16__)
        const auto chains = [](long n, float& result) { return bf16_chains(n, result); };
        return std::max(fma, rate_of_chains<float>(threads, chains, rounds));
#else
        return fma;
#endif
    }
};

}  // namespace bench
