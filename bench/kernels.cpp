// The grouped products alone. Names read kernels/grouped_linear/f32/B/T:512/threads:2/uniform.
// SPDX-License-Identifier: Apache-2.0
//
// Rows of a layer's experts under a load, one weight [E,H,D] or [E,D,H]; formats of weights: support/formats.hpp. Two rows of the busiest expert are checked
// against the reference backend before a verb is timed; tiny results are checked whole. Fewer than 128 tokens are left
// to the layer: a verb alone would find its weights in the caches. kernels/region is a parallel region with nothing in
// it: what a layer pays for each of its stages.
#include "moe/experts/activation.hpp"
#include "support/check.hpp"
#include "support/measure.hpp"

namespace {

using bench::index_t;
using cpu_kernels = moe::kernels_of<moe::cpu>;
using reference_kernels = moe::kernels_of<moe::reference>;

struct case_of {
    bench::layer_shape shape;
    index_t tokens, threads;
    bench::load kind;
};

// The rows of every expert, and weights and matrices as large as any verb wants.
template <class Format>
struct problem {
    case_of c;
    bench::layer_type<Format>& layer;
    std::vector<index_t> offset{0}, gather;
    index_t busiest = 0;

    explicit problem(const case_of& which)
        : c(which), layer(bench::layer_copies<Format>::get(which.shape, true)[0]) {
        std::vector<std::vector<index_t>> of_expert(static_cast<std::size_t>(c.shape.experts));
        const std::vector<index_t> experts = bench::experts_of(c.kind, c.shape, c.tokens, 0);
        for (std::size_t i = 0; i < experts.size(); ++i) {
            of_expert[std::size_t(experts[i])].push_back(static_cast<index_t>(i) / c.shape.per_token);
        }
        for (const auto& tokens : of_expert) {
            gather.insert(gather.end(), tokens.begin(), tokens.end());
            offset.push_back(static_cast<index_t>(gather.size()));
        }
        for (index_t e = 0; e < c.shape.experts; ++e) {
            if (rows_of(e) > rows_of(busiest)) busiest = e;
        }
    }
    index_t rows() const { return offset.back(); }
    index_t rows_of(index_t e) const { return offset[std::size_t(e) + 1] - offset[std::size_t(e)]; }
    index_t touched() const {
        index_t count = 0;
        for (index_t e = 0; e < c.shape.experts; ++e) count += rows_of(e) > 0 ? 1 : 0;
        return count;
    }
    double operations() const { return 2.0 * rows() * c.shape.features * c.shape.hidden; }
    double weight_bytes() const { return touched() * c.shape.hidden * Format::row_bytes(c.shape.features); }
};

// The rows that are checked, as offsets that leave all others out.
template <class Format>
std::vector<index_t> checked_rows(const problem<Format>& p) {
    if (bench::options().tiny) return p.offset;
    std::vector<index_t> offset(p.offset.size(), p.offset[std::size_t(p.busiest)]);
    const index_t end = offset[0] + std::min(p.rows_of(p.busiest), index_t{2});
    for (std::size_t g = std::size_t(p.busiest) + 1; g < offset.size(); ++g) offset[g] = end;
    return offset;
}

template <class Format, class F>
void time_verb(benchmark::State& state, const std::string& name, const problem<Format>& p, double products, moe::cpu& cpu,
               const F& call) {
    bench::measure<Format>(state, name, {p.c.threads, p.c.tokens, products * p.operations()}, [&](index_t) {
        call();
        return products * p.weight_bytes();
    }, [&](auto& counters) {
        counters["scratch_bytes"] = static_cast<double>(cpu.scratch().peak());
        counters["max_rows"] = p.rows_of(p.busiest);
        counters["mean_rows"] = static_cast<double>(p.rows()) / p.c.shape.experts;
    });
}

// verb(kernels, backend, offset, output) writes rows of the output.
template <class Format, class Verb>
void rows_verb(benchmark::State& state, const std::string& name, const problem<Format>& p, double products,
               index_t columns, const Verb& verb) {
    using T = typename Format::scalar;
    moe::cpu cpu{{.threads = p.c.threads}};
    moe::reference reference;
    moe::matrix<T> got(p.rows(), columns), wanted(p.rows(), columns);
    const std::vector<index_t> some = checked_rows(p);
    verb(cpu_kernels{}, cpu, p.offset, got.view());
    verb(reference_kernels{}, reference, some, wanted.view());
    const index_t first = some.front(), count = some.back() - first;
    const auto checked = [&](const moe::matrix<T>& m) { return m.view().middle_rows(first, count); };
    const double error = bench::error_of<T, T>(checked(got), checked(wanted));
    if (!(error <= Format::tolerated)) return bench::fail(state, "differs from the reference");
    time_verb(state, name, p, products, cpu, [&] { verb(cpu_kernels{}, cpu, p.offset, got.view()); });
}

template <class Format>
void grouped_gated_activation(benchmark::State& state, const std::string& name, const case_of& c) {
    using T = typename Format::scalar;
    const problem<Format> p(c);
    const auto x = moe::testing::random_matrix<T>(c.tokens, c.shape.features, 2);
    const auto& bank = p.layer.experts();
    rows_verb(state, name, p, 2, c.shape.hidden, [&](auto kernels, auto& b, const auto& offset, auto out) {
        kernels.grouped_gated_activation(b, {offset, p.gather}, x.view(), bank.gate, bank.up, {}, {}, bank.activation,
                                         out, {}, {});
    });
}

template <class Format>
void grouped_linear(benchmark::State& state, const std::string& name, const case_of& c) {
    using T = typename Format::scalar;
    const problem<Format> p(c);
    const auto h = moe::testing::random_matrix<T>(p.rows(), c.shape.hidden, 3);
    rows_verb(state, name, p, 1, c.shape.features, [&](auto kernels, auto& b, const auto& offset, auto out) {
        kernels.grouped_linear(b, {offset, {}}, h.view(), p.layer.experts().down, {}, out);
    });
}

template <class Format>
void grouped_input_gradient(benchmark::State& state, const std::string& name, const case_of& c) {
    using T = typename Format::scalar;
    const problem<Format> p(c);
    const auto dh = moe::testing::random_matrix<T>(p.rows(), c.shape.hidden, 4);
    rows_verb(state, name, p, 1, c.shape.features, [&](auto kernels, auto& b, const auto& offset, auto out) {
        kernels.grouped_input_gradient(b, {offset, {}}, dh.view(), p.layer.experts().up, out, false);
    });
}

// The weight gradient of the busiest expert against sums over its rows; few elements where it is large.
template <class Format, class T>
bool right_gradient(const problem<Format>& p, const moe::matrix<T>& x, const moe::matrix<T>& dh,
                    const moe::panels<T>& dw) {
    const index_t step = bench::options().tiny ? 1 : 97;
    for (index_t n = 0; n < dw.outputs(); n += step) {
        for (index_t k = 0; k < dw.inputs(); k += step) {
            double sum = 0, size = 0;
            for (index_t r = p.offset[std::size_t(p.busiest)]; r < p.offset[std::size_t(p.busiest) + 1]; ++r) {
                const double term =
                    static_cast<double>(dh(r, n)) * static_cast<double>(x(p.gather[std::size_t(r)], k));
                sum += term;
                size += std::abs(term);
            }
            const double error = std::abs(sum - static_cast<double>(dw(p.busiest, n, k)));
            if (!(error <= Format::tolerated * size)) return false;
        }
    }
    return true;
}

template <class Format>
void grouped_weight_gradient(benchmark::State& state, const std::string& name, const case_of& c) {
    using T = typename Format::scalar;
    const problem<Format> p(c);
    const auto x = moe::testing::random_matrix<T>(c.tokens, c.shape.features, 2);
    const auto dh = moe::testing::random_matrix<T>(p.rows(), c.shape.hidden, 4);
    moe::panels<T> dw(c.shape.experts, c.shape.hidden, c.shape.features);
    moe::cpu cpu{{.threads = c.threads}};
    const auto call = [&] {
        cpu_kernels::grouped_weight_gradient(cpu, {p.offset, p.gather}, dh.view(), x.view(), dw);
    };
    call();
    if (!right_gradient(p, x, dh, dw)) return bench::fail(state, "differs from the sum over the rows");
    time_verb(state, name, p, 1, cpu, call);
}

void region(benchmark::State& state, index_t threads) {
    constexpr int regions = 1000;
    moe::cpu cpu{{.threads = threads}};
    std::vector<index_t> calls(static_cast<std::size_t>(threads) * 16);
    std::vector<double> times;
    const int runs = 3 * bench::options().runs;
    for (int run = 0; run < runs; ++run) {
        times.push_back(bench::seconds_of([&] {
            for (int i = 0; i < regions; ++i) {
                cpu.parallel(threads, 1e9, [&](index_t, index_t, index_t worker) { ++calls[std::size_t(worker) * 16]; });
            }
        }) / regions);
    }
    index_t total = 0;
    for (const index_t count : calls) total += count;
    if (total != runs * regions * threads) return bench::fail(state, "an item was lost");
    for (auto _ : state) state.SetIterationTime(bench::median(times));
    state.counters["region_us"] = 1e6 * bench::median(times);
}

using timed_verb = void (*)(benchmark::State&, const std::string&, const case_of&);

template <class Format>
void add_verb(const char* verb_name, timed_verb run) {
    for (const bench::layer_shape& shape : bench::shapes()) {
        for (const index_t tokens : bench::token_counts()) {
            if (tokens < 128 && !bench::options().tiny) continue;
            for (const index_t threads : bench::options().threads) {
                const std::string name = bench::run_name(std::string("kernels/") + verb_name, Format::name, shape,
                                                         tokens, threads, "uniform");
                bench::add(name, [=](benchmark::State& state) {
                    run(state, name, {shape, tokens, threads, bench::load::uniform});
                });
            }
        }
    }
}

template <class Format>
void add_forward() {
    add_verb<Format>("grouped_gated_activation", &grouped_gated_activation<Format>);
    add_verb<Format>("grouped_linear", &grouped_linear<Format>);
}

}  // namespace

void bench::register_benchmarks() {
    for (const index_t threads : options().threads) {
        add(std::string("kernels/region/threads:") + std::to_string(threads),
            [=](benchmark::State& state) { region(state, threads); });
    }
    add_forward<f32>();
    add_forward<f16>();
    add_forward<int8_32>();
    add_forward<int4_32>();
    add_verb<f32>("grouped_input_gradient", &grouped_input_gradient<f32>);
    add_verb<int8_32>("grouped_input_gradient", &grouped_input_gradient<int8_32>);
    add_verb<f32>("grouped_weight_gradient", &grouped_weight_gradient<f32>);
}
