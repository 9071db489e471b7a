// bench/support: what every benchmark program is told on its command line, and how it names and registers its runs
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <fstream>
#include <string>
#include <vector>

#include "moe/core/config.hpp"

namespace bench {

using moe::index_t;

struct run_options {
    bool tiny = false;                // --tiny: sizes for a check of results, not for figures
    int runs = 7;                     // --runs=N: timed runs that must count; the median of them is reported
    std::vector<index_t> threads{1, 2};  // --threads=1,2
    std::string trace;                // --trace=FILE: recorded choices in place of those in bench/data
    std::string results;              // --results=FILE: a line per benchmark is added to it, for bench_report
    bool failed = false;              // a result was wrong
};

inline run_options& options() {
    static run_options o;
    return o;
}

// Written by every program; called by support/main.cpp once the command line is read.
void register_benchmarks();

// Adds a benchmark that times itself and sets one time, the median of its runs.
template <class F>
void add(const std::string& name, const F& f) {
    benchmark::RegisterBenchmark(name.c_str(), f)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
}

// A wrong result ends the benchmark, and makes the program return 1.
inline void fail(benchmark::State& state, const std::string& sentence) {
    options().failed = true;
    state.SkipWithError(sentence.c_str());
}

}  // namespace bench
