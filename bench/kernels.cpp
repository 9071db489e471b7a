// The grouped products as shares of the arithmetic peak measured around every run.
//
// T = 512 tokens, K = 8 of E = 64 experts each, D = 2048, H = 1024, float: 64 rows an expert on average, 0.5 GB a
// weight, larger than the caches. The argument is the number of threads. One block of every result is checked against
// the reference before it is timed.
#include <benchmark/benchmark.h>

#include <cmath>

#include "moe/backend/cpu.hpp"
#include "moe/core/rng.hpp"
#include "moe/experts/activation.hpp"
#include "support/ratio.hpp"

namespace {

using moe::index_t;
using K = moe::kernels_of<moe::cpu>;
using reference_kernels = moe::kernels_of<moe::reference>;

constexpr index_t tokens = 512, experts = 64, features = 2048, hidden = 1024, per_token = 8;
const moe::gated<moe::silu> swiglu;

void randomize(std::span<float> values, std::uint64_t seed, float scale) {
    const moe::random_stream random(seed, moe::stream_id("bench.kernels"));
    // Cheap and good enough: 4 numbers of a table in a random order of blocks.
    std::vector<float> table(1 << 16);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = scale * static_cast<float>(random.normal(i, 0));
    for (std::size_t i = 0; i < values.size(); i += table.size()) {
        const std::size_t shift = random.words(i, 1)[0] % table.size();
        const std::size_t count = std::min(table.size(), values.size() - i);
        for (std::size_t j = 0; j < count; ++j) values[i + j] = table[(j + shift) % table.size()];
    }
}

struct problem {
    moe::panels<float> gate{experts, hidden, features}, up{experts, hidden, features}, down{experts, features, hidden};
    moe::panels<float> gradient{experts, hidden, features};
    std::vector<index_t> offset, gather;
    moe::matrix<float> x{tokens, features}, h, rows, dx;

    problem() {
        std::vector<std::vector<index_t>> of_expert(experts);
        const moe::random_stream random(1, moe::stream_id("bench.routes"));
        for (index_t t = 0; t < tokens; ++t) {
            std::vector<index_t> order(experts);
            for (index_t e = 0; e < experts; ++e) order[std::size_t(e)] = e;
            for (index_t k = 0; k < per_token; ++k) {
                const auto pick =
                    std::size_t(k) + random.words(std::uint64_t(t), std::uint32_t(k))[0] % std::size_t(experts - k);
                std::swap(order[std::size_t(k)], order[pick]);
                of_expert[std::size_t(order[std::size_t(k)])].push_back(t);
            }
        }
        offset.push_back(0);
        for (const auto& list : of_expert) {
            gather.insert(gather.end(), list.begin(), list.end());
            offset.push_back(static_cast<index_t>(gather.size()));
        }
        const index_t r = offset.back();
        h = moe::matrix<float>(r, hidden);
        rows = moe::matrix<float>(r, features);
        dx = moe::matrix<float>(r, features);
        randomize(x.span(), 2, 1.0f);
        randomize(h.span(), 3, 1.0f);
        randomize(rows.span(), 4, 1.0f);
        randomize(gate.span(), 5, 0.02f);
        randomize(up.span(), 6, 0.02f);
        randomize(down.span(), 7, 0.02f);
    }
    moe::row_groups by_token() const { return {offset, gather}; }
    moe::row_groups by_row() const { return {offset, {}}; }
    double operations() const { return 2.0 * offset.back() * features * hidden; }

    static problem& get() {
        static problem p;
        return p;
    }
};

// The first rows of expert `e` as groups of their own, so that the reference has little to do.
moe::row_groups some_rows(const problem& p, std::vector<index_t>& offset, index_t e, bool gathered) {
    offset.assign(experts + 1, p.offset[std::size_t(e)]);
    for (index_t g = e; g < experts; ++g) offset[std::size_t(g) + 1] = p.offset[std::size_t(e)] + 2;
    return {offset, gathered ? std::span<const index_t>(p.gather) : std::span<const index_t>()};
}

bool close(moe::matrix_view<const float> a, moe::matrix_view<const float> b, index_t first, index_t count) {
    float worst = 0, largest = 0;
    for (index_t r = first; r < first + count; ++r) {
        for (index_t j = 0; j < a.cols; ++j) {
            worst = std::max(worst, std::abs(a(r, j) - b(r, j)));
            largest = std::max(largest, std::abs(b(r, j)));
        }
    }
    return worst <= 1e-4f * largest && largest > 0;
}

// verb(kernels, backend, rows, output) is timed on cpu, and checked on two rows of expert 5.
template <class Verb>
void rows_benchmark(benchmark::State& state, double operations, bool gathered, moe::matrix<float>& output,
                    const Verb& verb) {
    const auto threads = static_cast<index_t>(state.range(0));
    problem& p = problem::get();
    moe::cpu cpu{{.threads = threads}};
    verb(K{}, cpu, gathered ? p.by_token() : p.by_row(), output.view());
    moe::matrix<float> expected(output.rows(), output.cols());
    moe::reference reference;
    std::vector<index_t> offset;
    verb(reference_kernels{}, reference, some_rows(p, offset, 5, gathered), expected.view());
    if (!close(output.view(), expected.view(), p.offset[5], 2)) {
        state.SkipWithError("differs from the reference");
        return;
    }
    bench::measure_share_of_peak(state, threads, operations,
                                 [&] { verb(K{}, cpu, gathered ? p.by_token() : p.by_row(), output.view()); });
}

void grouped_gated_activation(benchmark::State& state) {
    problem& p = problem::get();
    rows_benchmark(state, 2 * p.operations(), true, p.h,
                   [&](auto kernels, auto& b, const moe::row_groups& rows, auto out) {
                       kernels.grouped_gated_activation(b, rows, p.x.view(), p.gate, p.up, {}, {}, swiglu, out, {}, {});
                   });
}

void grouped_linear(benchmark::State& state) {
    problem& p = problem::get();
    rows_benchmark(state, p.operations(), false, p.rows,
                   [&](auto kernels, auto& b, const moe::row_groups& rows, auto out) {
                       kernels.grouped_linear(b, rows, p.h.view(), p.down, {}, out);
                   });
}

void grouped_input_gradient(benchmark::State& state) {
    problem& p = problem::get();
    rows_benchmark(state, p.operations(), false, p.dx,
                   [&](auto kernels, auto& b, const moe::row_groups& rows, auto out) {
                       kernels.grouped_input_gradient(b, rows, p.h.view(), p.up, out, false);
                   });
}

void grouped_weight_gradient(benchmark::State& state) {
    const auto threads = static_cast<index_t>(state.range(0));
    problem& p = problem::get();
    moe::cpu cpu{{.threads = threads}};
    std::fill(p.gradient.span().begin(), p.gradient.span().end(), 0.0f);
    K::grouped_weight_gradient(cpu, p.by_token(), p.h.view(), p.x.view(), p.gradient);
    for (const index_t n : {0, 70, hidden - 1}) {
        for (const index_t k : {0, 1000, features - 1}) {
            double sum = 0, size = 0;
            for (index_t r = p.offset[5]; r < p.offset[6]; ++r) {
                const double term =
                    static_cast<double>(p.h(r, n)) * static_cast<double>(p.x(p.gather[std::size_t(r)], k));
                sum += term;
                size += std::abs(term);
            }
            if (std::abs(sum - static_cast<double>(p.gradient(5, n, k))) > 1e-5 * size) {
                state.SkipWithError("differs from the sum over the rows");
                return;
            }
        }
    }
    bench::measure_share_of_peak(state, threads, p.operations(), [&] {
        K::grouped_weight_gradient(cpu, p.by_token(), p.h.view(), p.x.view(), p.gradient);
    });
}

}  // namespace

BENCHMARK(grouped_gated_activation)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK(grouped_linear)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK(grouped_input_gradient)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK(grouped_weight_gradient)->Arg(1)->Arg(2)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

int main(int argc, char** argv) {
    benchmark::AddCustomContext("processor", bench::processor_name());
    benchmark::AddCustomContext("vectors", MOE_STRING(MOE_ISA_NAME));
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
