// bench/support: what this machine can do: arithmetic peaks, reads from memory and caches, names
// SPDX-License-Identifier: Apache-2.0
//
// Every benchmark states its result as a share of a limit measured in the same process with as many threads.
#pragma once

#include <algorithm>
#include <barrier>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "moe/backend/cpu/amx.hpp"
#include "moe/backend/cpu/int_dot.hpp"
#include "moe/core/storage.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace bench {

using moe::index_t;

inline double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class F>
double seconds_of(const F& body) {
    const double begin = seconds_now();
    body();
    return seconds_now() - begin;
}

inline double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

inline std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

inline std::string compiler_name() {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "g++ " __VERSION__;
#else
    return "unknown compiler";
#endif
}

// Bytes of the cache of a level as Linux reports it, 0 where it does not.
inline std::size_t cache_bytes(int level) {
    for (int i = 0; i < 8; ++i) {
        const std::string folder = std::string("/sys/devices/system/cpu/cpu0/cache/index") + std::to_string(i) + "/";
        int found = 0;
        std::size_t kibibytes = 0;
        std::string type;
        if (!(std::ifstream(folder + "level") >> found)) break;
        std::ifstream(folder + "type") >> type;
        std::ifstream(folder + "size") >> kibibytes;
        if (found == level && type != "Instruction") return kibibytes * 1024;
    }
    return 0;
}

// Runs body(thread) on `threads` threads that start together; returns the seconds the slowest took.
template <class F>
double run_together(index_t threads, const F& body) {
    std::barrier start(threads);
    std::vector<double> seconds(static_cast<std::size_t>(threads));
    const auto work = [&](index_t t) {
        start.arrive_and_wait();
        seconds[static_cast<std::size_t>(t)] = seconds_of([&] { body(t); });
    };
    std::vector<std::thread> others;
    for (index_t t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& t : others) t.join();
    return *std::max_element(seconds.begin(), seconds.end());
}

// Independent chains of fused multiply-adds on the widest registers, nothing loaded: with `result` 0 chain i keeps i in
// every element. Returns the operations done, two for each element; `result` keeps the compiler from dropping the work.
template <class T>
double fma_chains(long rounds, T& result) {
    using V = moe::simd_vector<T>;
    constexpr index_t chains = V::size * sizeof(T) == 64 ? 24 : 12;
    V sum[chains];
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { sum[i] = V(result + T(i)); });
    V factor(T(1) - result);
    V term(result);
    for (long n = 0; n < rounds; ++n) {
        moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { sum[i] = fma(sum[i], factor, term); });
    }
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { result += reduce_add(sum[i]); });
    return 2.0 * static_cast<double>(rounds) * chains * V::size;
}

// The same for the dot products of bfloat16, which exist under AVX-512 only.
#if defined(__AVX512BF16__)
inline double bf16_chains(long rounds, float& result) {
    constexpr index_t chains = 24;
    __m512 sum[chains];
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { sum[i] = _mm512_set1_ps(result + float(i)); });
    const __m512bh factor = _mm512_cvtne2ps_pbh(_mm512_set1_ps(result), _mm512_set1_ps(result));
    for (long n = 0; n < rounds; ++n) {
        moe::detail::unroll<chains>(
            [&](auto i) MOE_INLINE_LAMBDA { sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor); });
    }
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { result += _mm512_reduce_add_ps(sum[i]); });
    return 64.0 * static_cast<double>(rounds) * chains;
}
#endif

// The same for what products with quantised weights run on: sums of four products of bytes. A chain's sum is a factor
// too, so that no product is the same in two rounds.
template <class E = moe::detail::int_dot>
double int_dot_chains(long rounds, float& result) {
    constexpr index_t lanes = moe::simd_vector<float>::size;
    constexpr index_t chains = E::words == 4 ? 8 : lanes == 16 ? 24 : 12;
    typename E::ints sum[chains];
    const auto start = static_cast<std::uint32_t>(result);
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { sum[i] = typename E::ints{} + (start + i); });
    const typename E::quads zero = E::template make<4>(typename E::ints{} + start);
    const auto factor = [](typename E::ints v) MOE_INLINE_LAMBDA {
        if constexpr (E::words == 1) return v;
        else if constexpr (E::words == 2) return typename E::element{v, v};
        else return typename E::element{{v, v, v, v}};
    };
    for (long n = 0; n < rounds; ++n) {
        moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA { sum[i] = E::add(factor(sum[i]), zero, sum[i]); });
    }
    moe::detail::unroll<chains>([&](auto i) MOE_INLINE_LAMBDA {
        for (index_t j = 0; j < lanes; ++j) result += static_cast<float>(sum[i][j]);
    });
    return 8.0 * static_cast<double>(rounds) * chains * lanes;
}

// The same for the matrix unit, where it may be used: products of tiles of bfloat16 (32 inputs) or codes (64), added to
// four tiles of 256 sums.
#if MOE_TILES
template <bool codes>
double tile_chains(long rounds, float& result) {
    constexpr std::size_t sums = 256;
    using sum_type = std::conditional_t<codes, std::int32_t, float>;
    alignas(64) sum_type start[4][sums];
    alignas(64) const char zeros[1024] = {};
    for (std::size_t i = 0; i < 4; ++i) std::fill_n(start[i], sums, static_cast<sum_type>(result) + sum_type(i));
    const moe::detail::tile_registers registers;
    _tile_loadd(0, start[0], 64);
    _tile_loadd(1, start[1], 64);
    _tile_loadd(2, start[2], 64);
    _tile_loadd(3, start[3], 64);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(6, zeros, 64);
    for (long n = 0; n < rounds; ++n) {
        if constexpr (codes) {
            _tile_dpbsud(0, 4, 6);
            _tile_dpbsud(1, 4, 6);
            _tile_dpbsud(2, 4, 6);
            _tile_dpbsud(3, 4, 6);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 6);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 6);
        }
    }
    _tile_stored(0, start[0], 64);
    _tile_stored(1, start[1], 64);
    _tile_stored(2, start[2], 64);
    _tile_stored(3, start[3], 64);
    for (const auto& tile : start) {
        for (const sum_type v : tile) result += static_cast<float>(v);
    }
    return 4.0 * 16 * 16 * (codes ? 128 : 64) * static_cast<double>(rounds);
}
#endif

// Operations a second of `threads` threads that run chains(rounds, result).
template <class T, class Chains>
double rate_of_chains(index_t threads, const Chains& chains, long rounds) {
    std::vector<T> result(static_cast<std::size_t>(threads) * 64, T(0));
    double operations = 0;
    const double seconds = run_together(threads, [&](index_t t) {
        const double mine = chains(rounds, result[static_cast<std::size_t>(t) * 64]);
        if (t == 0) operations = mine;
    });
    return operations * threads / seconds;
}

// That of the matrix unit; 0 where there is none.
template <bool codes>
double tile_rate(index_t threads, long rounds) {
#if MOE_TILES
    if (moe::detail::tiles_granted()) {
        const auto chains = [](long n, float& result) { return tile_chains<codes>(n, result); };
        return rate_of_chains<float>(threads, chains, rounds);
    }
#endif
    static_cast<void>(threads);
    static_cast<void>(rounds);
    return 0;
}
template <class T>
double arithmetic_rate(index_t threads, long rounds) {
    return rate_of_chains<T>(threads, [](long n, T& result) { return fma_chains<T>(n, result); }, rounds);
}

// The sum of `size` elements, a multiple of eight lines of the cache, as eight forward streams: one stream alone does not
// get all that memory gives.
inline float stream(const float* p, std::size_t size) {
    using V = moe::simd_vector<float>;
    constexpr index_t line = index_t(moe::storage_alignment / sizeof(float));
    const std::size_t share = size / 8;
    V sum[8] = {V(0), V(0), V(0), V(0), V(0), V(0), V(0), V(0)};
    for (const float* end = p + share; p < end; p += line) {
        moe::detail::unroll<8>([&](auto v) MOE_INLINE_LAMBDA {
            const float* at = p + std::size_t(v) * share;
            for (index_t j = 0; j < line; j += V::size) sum[v] = sum[v] + V::load_aligned(at + j);
        });
    }
    float total = 0;
    for (const V& s : sum) total += reduce_add(s);
    return total;
}

// Bytes a second that `threads` threads read, each its share of `memory`, `times` over.
inline double read_rate(std::span<const float> memory, index_t threads, int times = 1) {
    const std::size_t share = memory.size() / static_cast<std::size_t>(threads) / 1024 * 1024;
    std::vector<float> result(static_cast<std::size_t>(threads) * 64);
    const double seconds = run_together(threads, [&](index_t t) {
        for (int i = 0; i < times; ++i) {
            result[std::size_t(t) * 64] += stream(memory.data() + std::size_t(t) * share, share);
        }
    });
    return static_cast<double>(share) * sizeof(float) * threads * times / seconds;
}

// Bytes a second that they read and write when they copy their shares from the first half to the second.
inline double copy_rate(std::span<float> memory, index_t threads) {
    const std::size_t half = memory.size() / 2, share = half / static_cast<std::size_t>(threads) / 1024 * 1024;
    const double seconds = run_together(threads, [&](index_t t) {
        const float* from = memory.data() + std::size_t(t) * share;
        std::copy_n(from, share, memory.data() + half + std::size_t(t) * share);
    });
    return 2.0 * static_cast<double>(share) * sizeof(float) * threads / seconds;
}

}  // namespace bench
