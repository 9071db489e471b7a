// What the machine can do at most: the limits against which the other benchmarks are measured.
// SPDX-License-Identifier: Apache-2.0
//
//   peak/fma/f32, f64     independent fused multiply-adds on the widest registers, nothing loaded (2 operations each)
//   peak/dot/bf16         the same for the dot-product instruction, where the program is compiled for a machine with it
//   peak/dot/int8         sums of products of bytes, on what products with quantised weights run on
//   peak/tiles/bf16, int8 products of tiles, where the program is compiled for a matrix unit and may use it
//   peak/read/dram        a forward stream a thread over 1 GiB on huge pages; l1, l2, l3: over half a cache, many times
//   peak/copy/dram        bytes read plus bytes written
//
// The processor is named in the context lines, because a figure means nothing without it.
#include "support/machine.hpp"
#include "support/options.hpp"

namespace {

using bench::index_t;

template <class F>
void report(benchmark::State& state, const char* counter, const F& rate) {
    std::vector<double> rates;
    const double seconds = bench::seconds_of([&] {
        for (int i = 0; i < 2 * bench::options().runs + 1; ++i) rates.push_back(rate());
    });
    for (auto _ : state) state.SetIterationTime(seconds / static_cast<double>(rates.size()));
    state.counters[counter] = bench::median(rates) / 1e9;
}

// Chain i keeps i in each of its lanes, so the chains' sum tells whether the work was done. `operations` and `lanes` are
// those of an instruction.
template <class T, class Chains>
void add_chains(const std::string& name, double operations, double lanes, const Chains& chains) {
    for (const index_t threads : bench::options().threads) {
        bench::add(name + "/threads:" + std::to_string(threads), [=](benchmark::State& state) {
            T sum = 0;
            const double count = chains(1, sum) / operations;
            if (static_cast<double>(sum) != count * (count - 1) / 2 * lanes) {
                return bench::fail(state, "the chains do not add up");
            }
            const long rounds = bench::options().tiny ? 1000 : 1000000;
            report(state, "gflops", [&] { return bench::rate_of_chains<T>(threads, chains, rounds); });
        });
    }
}

template <class T>
void add_fma(const std::string& name) {
    constexpr double lanes = moe::simd_vector<T>::size;
    add_chains<T>(name, 2 * lanes, lanes, [](long rounds, T& result) { return bench::fma_chains<T>(rounds, result); });
}

std::span<float> memory() {
    static moe::buffer<float> all(bench::options().tiny ? std::size_t{1} << 16 : std::size_t{1} << 28);
    return all.span();
}

void add_reads() {
    for (const index_t threads : bench::options().threads) {
        const std::string end = std::string("/threads:") + std::to_string(threads);
        bench::add("peak/read/dram" + end, [=](benchmark::State& state) {
            std::fill(memory().begin(), memory().end(), 1.0f);
            if (bench::stream(memory().data(), 4096) != 4096.0f) return bench::fail(state, "the sum is wrong");
            report(state, "gbytes_per_s", [&] { return bench::read_rate(memory(), threads); });
        });
        bench::add("peak/copy/dram" + end, [=](benchmark::State& state) {
            report(state, "gbytes_per_s", [&] { return bench::copy_rate(memory(), threads); });
        });
        for (int level = 1; level <= 3; ++level) {
            const std::size_t shared_by = level == 3 ? 1 : std::size_t(threads);
            const std::size_t size = bench::cache_bytes(level) / 2 / sizeof(float) * shared_by;
            if (size == 0) continue;
            bench::add(std::string("peak/read/l") + std::to_string(level) + end, [=](benchmark::State& state) {
                const std::span<const float> part = memory().first(std::min(size, memory().size()));
                const std::size_t enough = bench::options().tiny ? 0 : std::size_t{1} << 26;
                const int times = static_cast<int>(1 + enough / part.size());
                report(state, "gbytes_per_s", [&] { return bench::read_rate(part, threads, times); });
            });
        }
    }
}

}  // namespace

void bench::register_benchmarks() {
    add_fma<float>("peak/fma/f32");
    add_fma<double>("peak/fma/f64");
#if defined(__AVX512BF16__)
    add_chains<float>("peak/dot/bf16", 64, 16,
                      [](long rounds, float& result) { return bench::bf16_chains(rounds, result); });
#endif
    constexpr index_t lanes = moe::simd_vector<float>::size;
    add_chains<float>("peak/dot/int8", 8.0 * lanes, lanes,
                      [](long rounds, float& result) { return bench::int_dot_chains(rounds, result); });
#if MOE_TILES
    if (moe::detail::tiles_granted()) {
        add_chains<float>("peak/tiles/bf16", 16384, 256,
                          [](long rounds, float& result) { return bench::tile_chains<false>(rounds, result); });
        add_chains<float>("peak/tiles/int8", 32768, 256,
                          [](long rounds, float& result) { return bench::tile_chains<true>(rounds, result); });
    }
#endif
    add_reads();
}
