// bench/support: timing a kernel as a share of the arithmetic peak, the peak being measured before and after every run
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include "support/machine.hpp"

namespace bench {

// Runs `body` once a benchmark iteration on an object with `threads` threads and reports its rate, the peak of as many
// threads around it, and the median of their ratios.
template <class F>
void measure_share_of_peak(benchmark::State& state, moe::index_t threads, double operations, const F& body) {
    body();  // grows scratch, wakes threads
    std::vector<double> rate, peak, share;
    double before = arithmetic_peak<float>(threads, 3);
    for (auto _ : state) {
        const double begin = seconds_now();
        body();
        const double seconds = seconds_now() - begin;
        state.SetIterationTime(seconds);
        const double after = arithmetic_peak<float>(threads, 3);
        rate.push_back(operations / seconds);
        peak.push_back((before + after) / 2);
        share.push_back(rate.back() / peak.back());
        before = after;
    }
    state.counters["GF/s"] = median(rate) / 1e9;
    state.counters["peak"] = median(peak) / 1e9;
    state.counters["share"] = median(share);
}

}  // namespace bench
