// bench/support: timing a call as shares of the machine's limits, which are measured before and after every timed run
// SPDX-License-Identifier: Apache-2.0
//
// The time of a benchmark is the median of its runs, and so is every counter:
//
//   gflops, tokens_per_s        from the operations and tokens of a run
//   pct_peak                    of the arithmetic peak of as many threads, 0 to 100
//   pct_bandwidth               of what as many threads read from memory; the bytes of a run are those of the weights
//                               it touched, each once
//   peak_gflops, read_gbytes    these limits
//   scratch_bytes               the most scratch the backend had taken at a time
//   max_rows, mean_rows         rows of the busiest expert, and of an expert on average
//   runs                        how many runs counted
//
// A run bound by memory counts only if the two reads around it differ by at most 5 %; where too few do, the benchmark
// is reported as an error and has no figures.
#pragma once

#include <cmath>

#include "support/formats.hpp"
#include "support/options.hpp"

namespace bench {

struct limits {
    double operations = 0, bytes = 0;  // a second
};

// Reads a part of a large block after the other, so that none is in a cache when its turn comes.
template <class Format>
limits measure_limits(index_t threads) {
    const std::size_t part = options().tiny ? std::size_t{1} << 14 : std::size_t{1} << 26, parts = 4;
    static moe::buffer<float> memory(part * parts);
    static std::size_t next = 0;
    next = (next + 1) % parts;
    const double bytes = read_rate(memory.span().subspan(next * part, part), threads);
    return {Format::rate(threads, options().tiny ? 1000 : 250000), bytes};
}

struct work {
    index_t threads = 1, tokens = 0;
    double operations = 0;
};

struct sample {
    double seconds, operations_share, bytes_share;
    limits limit;
};

// Times body(run), which returns the bytes of weights it touched; run counts up from 0, so that it can use others each
// time. Short calls are timed several together.
template <class Format, class F>
std::vector<sample> samples_of(const work& w, const F& body) {
    index_t run = 0;
    double bytes = 0;
    const double once = seconds_of([&] { bytes = body(run++); });  // also grows scratch and wakes threads
    const int together = options().tiny ? 1 : static_cast<int>(std::clamp(0.002 / once, 1.0, 100.0));
    std::vector<sample> samples;
    limits before = measure_limits<Format>(w.threads);
    for (int tries = 0; tries < 6 * options().runs && samples.size() < std::size_t(options().runs); ++tries) {
        bytes = 0;
        const double seconds = seconds_of([&] {
            for (int i = 0; i < together; ++i) bytes += body(run++);
        });
        const limits after = measure_limits<Format>(w.threads);
        const limits mean{(before.operations + after.operations) / 2, (before.bytes + after.bytes) / 2};
        const bool agree = std::abs(before.bytes - after.bytes) <= 0.05 * std::max(before.bytes, after.bytes);
        const double operations = w.operations * together;
        const bool memory_bound = bytes / mean.bytes > operations / mean.operations;
        before = after;
        if (memory_bound && !agree && !options().tiny) continue;
        samples.push_back(
            {seconds / together, operations / seconds / mean.operations, bytes / seconds / mean.bytes, mean});
    }
    return samples;
}

template <class F>
double median_of(const std::vector<sample>& samples, const F& f) {
    std::vector<double> values;
    for (const sample& s : samples) values.push_back(f(s));
    return median(values);
}

// Adds a line to the file of --results: the name, then the counters as words `name=value`.
inline void write_result(const std::string& name, const benchmark::State& state, double seconds) {
    if (options().results.empty()) return;
    std::ofstream file(options().results, std::ios::app);
    file << name << " seconds=" << seconds;
    for (const auto& [counter, value] : state.counters) file << ' ' << counter << '=' << value.value;
    file << '\n';
}

// more(counters) adds what only the caller knows.
template <class Format, class F, class More>
void measure(benchmark::State& state, const std::string& name, const work& w, const F& body, const More& more) {
    const std::vector<sample> samples = samples_of<Format>(w, body);
    if (samples.size() < std::size_t(options().runs)) {
        const std::string count = std::to_string(samples.size()) + " of " + std::to_string(options().runs);
        const std::string sentence = "not a quiet machine: memory was read at a steady rate around " + count + " runs";
        return state.SkipWithError(sentence.c_str());
    }
    const double seconds = median_of(samples, [](const sample& s) { return s.seconds; });
    for (auto _ : state) state.SetIterationTime(seconds);
    auto& c = state.counters;
    c["gflops"] = w.operations / seconds / 1e9;
    c["tokens_per_s"] = w.tokens / seconds;
    c["pct_peak"] = 100 * median_of(samples, [](const sample& s) { return s.operations_share; });
    c["pct_bandwidth"] = 100 * median_of(samples, [](const sample& s) { return s.bytes_share; });
    c["peak_gflops"] = median_of(samples, [](const sample& s) { return s.limit.operations; }) / 1e9;
    c["read_gbytes"] = median_of(samples, [](const sample& s) { return s.limit.bytes; }) / 1e9;
    c["runs"] = static_cast<double>(samples.size());
    more(c);
    write_result(name, state, seconds);
}

}  // namespace bench
