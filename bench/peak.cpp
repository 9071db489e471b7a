// What the machine can do at most: the limits against which the other benchmarks are measured.
//
//   fma/float, fma/double   independent fused multiply-adds on the widest registers, nothing loaded (2 operations each)
//   read                    one forward stream a thread over memory larger than the caches, on huge pages
//
// The argument is the number of threads. A Zen 4 core at 3.65 GHz does 110 to 120 GF/s in float; the processor is named
// in the context lines, because the figure means nothing without it.
#include <benchmark/benchmark.h>

#include "moe/core/config.hpp"
#include "support/machine.hpp"

namespace {

// Each of 24 chains is worth `rounds` products and sums; the closed form of one chain checks that the work was done.
void check_chains(benchmark::State& state) {
    float result = 0.0f;  // factor 1, term 0: every chain keeps its start, 0 + 1 + ... of every element
    const double operations = bench::fma_chains<float>(1000, result);
    const double chains = operations / (2.0 * 1000 * moe::simd_vector<float>::size);
    const double wanted = chains * (chains - 1) / 2 * moe::simd_vector<float>::size;
    if (static_cast<double>(result) != wanted) state.SkipWithError("the chains do not add up");
}

template <class T>
void fma(benchmark::State& state) {
    check_chains(state);
    const auto threads = static_cast<moe::index_t>(state.range(0));
    constexpr long rounds = 1000000;
    std::vector<double> rate;
    for (auto _ : state) {
        std::vector<T> result(static_cast<std::size_t>(threads) * 64, T(0));
        double operations = 0;
        const double seconds = bench::run_together(threads, [&](moe::index_t t) {
            const double mine = bench::fma_chains<T>(rounds, result[static_cast<std::size_t>(t) * 64]);
            if (t == 0) operations = mine;
        });
        state.SetIterationTime(seconds);
        rate.push_back(operations * threads / seconds);
        benchmark::DoNotOptimize(result.data());
    }
    state.counters["GF/s"] = bench::median(rate) / 1e9;
}

void read(benchmark::State& state) {
    const auto threads = static_cast<moe::index_t>(state.range(0));
    const moe::buffer<float> memory(std::size_t{1} << 28);
    std::vector<double> rate;
    for (auto _ : state) {
        const double bytes_a_second = bench::read_rate(memory, threads, 1);
        rate.push_back(bytes_a_second);
        state.SetIterationTime(static_cast<double>(memory.size()) * sizeof(float) / bytes_a_second);
    }
    state.counters["GB/s"] = bench::median(rate) / 1e9;
}

}  // namespace

BENCHMARK(fma<float>)
    ->Name("fma/float")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime()
    ->Iterations(15)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(fma<double>)
    ->Name("fma/double")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime()
    ->Iterations(15)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(read)->Name("read")->Arg(1)->Arg(2)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);

int main(int argc, char** argv) {
    benchmark::AddCustomContext("processor", bench::processor_name());
    benchmark::AddCustomContext("vectors", MOE_STRING(MOE_ISA_NAME));
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
