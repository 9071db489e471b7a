// A selector written outside the library (examples/custom_router) beside the library's own with the same weights: T = 4096
// tokens, one thread, whole routers on the same features. The argument is the number of experts.
#include <benchmark/benchmark.h>

#include "../examples/custom_router/near_best.hpp"
#include "moe/moe.hpp"
#include "moe/testing/random.hpp"

namespace {

constexpr moe::index_t tokens = 4096, features = 64;

template <class... Steps>
void route(benchmark::State& state, const Steps&... steps) {
    const auto experts = static_cast<moe::index_t>(state.range(0));
    const moe::router router{moe::linear_gate<float>{{.features = features, .experts = experts}}, steps...};
    const moe::matrix<float> x = moe::testing::random_matrix<float>(tokens, features, 1);
    moe::batch<float> in;
    in.x = in.features = x;
    moe::cpu cpu;
    moe::arena memory;
    const moe::routing<float> s = router.route(cpu, in, memory);
    for (moe::index_t t = 0; t < tokens; ++t) {
        float sum = 0;
        for (moe::index_t i = s.routes.begin(t); i < s.routes.end(t); ++i) sum += s.routes.weight[std::size_t(i)];
        if (!(sum > 0.999f && sum < 1.001f)) state.SkipWithError("the weights of a token do not sum to 1");
    }
    for (auto _ : state) {
        memory.reset();
        benchmark::DoNotOptimize(router.route(cpu, in, memory).routes.weight.data());
    }
    state.counters["tokens"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsIterationInvariantRate);
}

void top_k(benchmark::State& state) { route(state, moe::top_k{.k = 4}, moe::softmax_selected{}); }
void near_best_k(benchmark::State& state) { route(state, near_best{.margin = 0.5, .k = 4}); }

}  // namespace

BENCHMARK(top_k)->Name("top_k")->Arg(16)->Arg(128)->Unit(benchmark::kMicrosecond);
BENCHMARK(near_best_k)->Name("near_best")->Arg(16)->Arg(128)->Unit(benchmark::kMicrosecond);
BENCHMARK_MAIN();
