// The whole layer, forward and training, as shares of the arithmetic peak measured around every run.
//
// T = 512 tokens, K = 8 of E = 64 experts, D = 2048, H = 1024, float: 1.6 GB of weights, larger than the caches. The
// argument is the number of threads. Operations: 6 T K D H + 2 T D E forward, three times that in training. Every result
// is checked once: two tokens against a layer on the reference backend. `skewed` replays routes that follow Zipf's law, the
// second argument tenths of its exponent: 0 is uniform, 10 gives the first expert about a fifth of the first choices.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>

#include "moe/moe.hpp"
#include "moe/testing/generators.hpp"
#include "moe/testing/random.hpp"
#include "support/ratio.hpp"

namespace {

using moe::index_t;

constexpr index_t tokens = 512, features = 2048, hidden = 1024, experts = 64, per_token = 8;
constexpr double forward_operations =
    6.0 * tokens * per_token * features * hidden + 2.0 * tokens * features * experts;

auto make_layer() {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = features, .experts = experts}}, moe::softmax{},
                                  moe::top_k{.k = per_token}, moe::renormalize{}},
                      moe::swiglu_bank<float>{{.features = features, .hidden = hidden, .experts = experts}}};
}
using layer_type = decltype(make_layer());

struct problem {
    layer_type layer = make_layer();
    moe::matrix<float> x = moe::testing::random_matrix<float>(tokens, features, 1);
    moe::matrix<float> dy = moe::testing::random_matrix<float>(tokens, features, 2);
    moe::matrix<float> y{tokens, features}, dx{tokens, features};
    std::unique_ptr<layer_type::gradient> gradient;
    moe::tape<float> tape;

    moe::batch<float> in(index_t count = tokens) const {
        moe::batch<float> b;
        b.x = x.view().middle_rows(0, count);
        return b;
    }
    static problem& get() {
        static problem p;
        return p;
    }
};

bool close(moe::matrix_view<const float> a, moe::matrix_view<const float> b) {
    float worst = 0, largest = 0;
    for (index_t r = 0; r < a.rows; ++r) {
        for (index_t j = 0; j < a.cols; ++j) {
            const float difference = std::abs(a(r, j) - b(r, j));
            if (!(difference <= worst)) worst = difference;
            largest = std::max(largest, std::abs(b(r, j)));
        }
    }
    return worst <= 1e-4f * largest && largest > 0;
}

void forward(benchmark::State& state) {
    problem& p = problem::get();
    const auto threads = static_cast<index_t>(state.range(0));
    moe::cpu cpu{{.threads = threads}};
    p.layer.forward(cpu, p.in(), p.y.view());
    moe::reference reference;
    if (!close(p.y.view().middle_rows(0, 2), p.layer(reference, p.in(2)).view())) {
        state.SkipWithError("differs from the reference");
        return;
    }
    bench::measure_share_of_peak(state, threads, forward_operations,
                                 [&] { p.layer.forward(cpu, p.in(), p.y.view()); });
}

// The forward pass with the experts of a recorded choice instead of the selector's.
void skewed(benchmark::State& state) {
    problem& p = problem::get();
    const auto threads = static_cast<index_t>(state.range(0));
    const std::vector<index_t> expert =
        moe::testing::zipf_choice(tokens, experts, per_token, static_cast<double>(state.range(1)) / 10, 1);
    std::vector<index_t> offset;
    for (index_t t = 0; t <= tokens; ++t) offset.push_back(t * per_token);
    const auto in = [&](index_t count) {
        moe::batch<float> b = p.in(count);
        b.replay_offset = std::span(offset).first(std::size_t(count) + 1);
        b.replay_expert = std::span(expert).first(std::size_t(count * per_token));
        return b;
    };
    moe::cpu cpu{{.threads = threads}};
    p.layer.forward(cpu, in(tokens), p.y.view());
    moe::reference reference;
    if (!close(p.y.view().middle_rows(0, 2), p.layer(reference, in(2)).view())) {
        state.SkipWithError("differs from the reference");
        return;
    }
    std::vector<index_t> load(std::size_t(experts), 0);
    for (const index_t e : expert) ++load[std::size_t(e)];
    state.counters["largest_load"] = *std::max_element(load.begin(), load.end());
    bench::measure_share_of_peak(state, threads, forward_operations,
                                 [&] { p.layer.forward(cpu, in(tokens), p.y.view()); });
}

// Forward with a tape and backward; the gradient accumulates, as over micro-batches.
void training(benchmark::State& state) {
    problem& p = problem::get();
    const auto threads = static_cast<index_t>(state.range(0));
    moe::cpu cpu{{.threads = threads}};
    if (!p.gradient) p.gradient = std::make_unique<layer_type::gradient>(p.layer.make_gradient());
    const auto step = [&] {
        p.layer.forward(cpu, p.in(), p.y.view(), p.tape);
        p.layer.backward(cpu, p.dy.view(), p.tape, p.dx.view(), *p.gradient);
    };
    step();
    // dx of the first two tokens alone: tokens do not depend on their batch.
    moe::reference reference;
    moe::tape<float> tape;
    moe::matrix<float> y(2, features), dx(2, features);
    auto gradient = std::make_unique<layer_type::gradient>(p.layer.make_gradient());
    p.layer.forward(reference, p.in(2), y.view(), tape);
    p.layer.backward(reference, p.dy.view().middle_rows(0, 2), tape, dx.view(), *gradient);
    gradient.reset();
    if (!close(p.dx.view().middle_rows(0, 2), dx.view())) {
        state.SkipWithError("differs from the reference");
        return;
    }
    bench::measure_share_of_peak(state, threads, 3 * forward_operations, step);
}

}  // namespace

BENCHMARK(forward)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK(skewed)
    ->ArgsProduct({{1, 2}, {0, 10, 15}})
    ->UseManualTime()
    ->Iterations(7)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(training)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

int main(int argc, char** argv) {
    benchmark::AddCustomContext("processor", bench::processor_name());
    benchmark::AddCustomContext("vectors", MOE_STRING(MOE_ISA_NAME));
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
