// bench/support: how a layer's weights are kept, and what arithmetic they are measured against
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/experts/weight_storage.hpp"
#include "support/machine.hpp"
#include "support/shapes.hpp"

namespace bench {

// What all formats have: row_bytes(inputs), the bytes that the weights of one output take.
template <std::size_t bytes_of_weight>
struct plain_rows {
    static double row_bytes(index_t inputs) { return static_cast<double>(bytes_of_weight) * inputs; }
};

// Weights as activations, against the rate of fused multiply-adds.
template <class T>
struct same_format : plain_rows<sizeof(T)> {
    using scalar = T;
    using storage = moe::same_scalar;
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
struct f16 : plain_rows<2> {
    static constexpr const char* name = "f16";
    using scalar = float;
    using storage = moe::f16_weights;
    static constexpr double tolerated = f32::tolerated;
    static double rate(index_t threads, long rounds) { return arithmetic_rate<float>(threads, rounds); }
};

// Weights in bfloat16, activations and sums in float. The limit is the fastest of three units: the matrix unit,
// dot products of pairs, or float's, to which weights are widened.
struct bf16 : plain_rows<2> {
    static constexpr const char* name = "bf16";
    using scalar = float;
    using storage = moe::bf16_weights;
    static constexpr double tolerated = 1e-2;  // inputs are rounded to 8 bits
    static double rate(index_t threads, long rounds) {
        double rate = std::max(arithmetic_rate<float>(threads, rounds), tile_rate<false>(threads, rounds));
#if defined(__AVX512BF16__)
        const auto chains = [](long n, float& result) { return bf16_chains(n, result); };
        rate = std::max(rate, rate_of_chains<float>(threads, chains, rounds));
#endif
        return rate;
    }
};

// Weights in codes of 8 or 4 bits with their scales, inputs rounded to 8 bits, sums in integers. The limit is the
// matrix unit, or the instruction that adds products of bytes.
template <class Storage>
struct coded {
    using scalar = float;
    using storage = Storage;
    using codes = typename Storage::template weights<float>::format;
    static constexpr double tolerated = 5e-3;  // where a hidden value between two codes is rounded to the other one
    static double row_bytes(index_t inputs) {
        const index_t group = codes::group == moe::whole_rows ? inputs : codes::group;
        const double scale = sizeof(typename codes::scale) * (codes::zero_points ? 2 : 1);
        return 4.0 * inputs / codes::together + scale * static_cast<double>((inputs + group - 1) / group);
    }
    static double rate(index_t threads, long rounds) {
        const auto chains = [](long n, float& result) { return int_dot_chains(n, result); };
        return std::max(rate_of_chains<float>(threads, chains, rounds), tile_rate<true>(threads, rounds));
    }
};

struct int8_32 : coded<moe::int8_weights<32>> {
    static constexpr const char* name = "int8_32";
};
struct int8_128 : coded<moe::int8_weights<128>> {
    static constexpr const char* name = "int8_128";
};
struct int8_rows : coded<moe::int8_weights<moe::whole_rows>> {
    static constexpr const char* name = "int8_rows";
};
struct int4_32 : coded<moe::int4_weights<32>> {
    static constexpr const char* name = "int4_32";
};
struct int4_zero_32 : coded<moe::int4_zero_weights<32>> {
    static constexpr const char* name = "int4_zero_32";
};
// Weights of -1, 0 and 1 in 2 bits; and five of them in a byte, 1.6 bits, under one scale a row.
struct ternary_32 : coded<moe::ternary_weights<32>> {
    static constexpr const char* name = "ternary_32";
};
struct ternary_packed : coded<moe::packed_ternary_weights> {
    static constexpr const char* name = "ternary_packed";
};

// Bytes of weights that lie between two uses of the same ones: 512 MiB, and twice the last cache.
inline double cold_bytes() {
    const double caches = 2.0 * static_cast<double>(cache_bytes(3));
    return options().tiny ? 0.0 : std::max(512.0 * 1024 * 1024, caches);
}

// Of a gated expert of a layer, without padding.
template <class Format>
double expert_bytes(const layer_shape& s) {
    return 2.0 * s.hidden * Format::row_bytes(s.features) + s.features * Format::row_bytes(s.hidden);
}

}  // namespace bench
