// bench/support: what this machine can do: arithmetic peak, memory reads, the processor's name
// SPDX-License-Identifier: Apache-2.0
//
// Every benchmark states its result as a share of a limit measured in the same process, never as an absolute time
// alone.
#pragma once

#include <algorithm>
#include <barrier>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "moe/backend/simd.hpp"
#include "moe/core/storage.hpp"

namespace bench {

inline double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

// 24 independent chains of fused multiply-adds on the widest registers, nothing loaded. Returns the operations done,
// two for each element of each instruction; `result` keeps the compiler from dropping the work.
template <class T>
double fma_chains(long rounds, T& result) {
    using V = moe::simd_vector<T>;
    constexpr moe::index_t chains = V::size * sizeof(T) == 64 ? 24 : 12;
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

// Runs body(thread) on `threads` threads that start together; returns the seconds the slowest took.
template <class F>
double run_together(moe::index_t threads, const F& body) {
    std::barrier start(threads);
    std::vector<double> seconds(static_cast<std::size_t>(threads));
    const auto work = [&](moe::index_t t) {
        start.arrive_and_wait();
        const double begin = seconds_now();
        body(t);
        seconds[static_cast<std::size_t>(t)] = seconds_now() - begin;
    };
    std::vector<std::thread> others;
    for (moe::index_t t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& t : others) t.join();
    return *std::max_element(seconds.begin(), seconds.end());
}

inline double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

// Operations a second, the median of `runs` runs of about 20 ms.
template <class T>
double arithmetic_peak(moe::index_t threads, int runs = 9) {
    constexpr long rounds = 1000000;
    std::vector<double> rate;
    for (int i = 0; i < runs; ++i) {
        std::vector<T> result(static_cast<std::size_t>(threads) * 64, T(0));
        double operations = 0;
        const double seconds = run_together(threads, [&](moe::index_t t) {
            const double mine = fma_chains<T>(rounds, result[static_cast<std::size_t>(t) * 64]);
            if (t == 0) operations = mine;
        });
        rate.push_back(operations * threads / seconds);
    }
    return median(rate);
}

// Bytes a second that `threads` threads read from `memory`, one forward stream each, the median of `runs` runs.
inline double read_rate(const moe::buffer<float>& memory, moe::index_t threads, int runs = 5) {
    using V = moe::simd_vector<float>;
    const std::size_t share = memory.size() / static_cast<std::size_t>(threads) / 1024 * 1024;
    std::vector<double> rate;
    for (int i = 0; i < runs; ++i) {
        std::vector<float> result(static_cast<std::size_t>(threads) * 64);
        const double seconds = run_together(threads, [&](moe::index_t t) {
            const float* p = memory.data() + static_cast<std::size_t>(t) * share;
            V sum[8] = {V(0), V(0), V(0), V(0), V(0), V(0), V(0), V(0)};
            for (const float* end = p + share; p < end; p += 8 * V::size) {
                moe::detail::unroll<8>([&](auto v)
                                           MOE_INLINE_LAMBDA { sum[v] = sum[v] + V::load_aligned(p + v * V::size); });
            }
            for (const V& s : sum) result[static_cast<std::size_t>(t) * 64] += reduce_add(s);
        });
        rate.push_back(static_cast<double>(share) * sizeof(float) * threads / seconds);
    }
    return median(rate);
}

}  // namespace bench
