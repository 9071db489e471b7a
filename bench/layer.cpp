// The whole layer, forward: router, experts, combine. Names read layer/forward/f32/B/T:512/threads:2/uniform.
// layer/stages times the parts of a call, with one token and with 512.
// SPDX-License-Identifier: Apache-2.0
//
// Formats of the weights: support/formats.hpp. Shapes: support/shapes.hpp. Loads: support/loads.hpp. Counters:
// support/measure.hpp. Weights are cold: a layer whose weights were not used for longest takes the next run. Every
// result is checked before it is timed.
#include "support/check.hpp"
#include "support/measure.hpp"

namespace {

using bench::index_t;

template <class Format>
void forward(benchmark::State& state, const std::string& name, const bench::layer_shape& shape, index_t tokens,
             index_t threads, bench::load kind) {
    using T = typename Format::scalar;
    auto& layers = bench::layer_copies<Format>::get(shape, false);
    const std::vector<bench::layer_input<T>> inputs = bench::inputs_of<T>(shape, kind, tokens);
    moe::cpu cpu{{.threads = threads}};
    moe::matrix<T> y(tokens, shape.features);

    layers[0].forward(cpu, inputs[0].batch(), y.view());
    std::string fault = bench::check_routes<T>(layers[0], cpu, inputs[0]);
    if (fault.empty()) fault = bench::check_output<Format>(layers[0], shape, inputs[0], y.view());
    if (!fault.empty()) return bench::fail(state, fault);

    const std::size_t copies = layers.size();
    bench::measure<Format>(state, name, {threads, tokens, shape.operations(tokens)}, [&](index_t run) {
        const auto& input = inputs[std::size_t(run) / copies % inputs.size()];
        layers[std::size_t(run) % copies].forward(cpu, input.batch(), y.view());
        return input.touched() * bench::expert_bytes<Format>(shape);
    }, [&](auto& counters) {
        counters["scratch_bytes"] = static_cast<double>(cpu.scratch().peak());
        counters["max_rows"] = inputs[0].most_rows();
        counters["mean_rows"] = static_cast<double>(tokens) * shape.per_token / shape.experts;
    });
}

// What the layer does, stage by stage; counters are medians in microseconds.
template <class Format>
void stages(benchmark::State& state, const bench::layer_shape& shape, index_t tokens, index_t threads) {
    using K = moe::kernels_of<moe::cpu>;
    auto& layers = bench::layer_copies<Format>::get(shape, false);
    const auto inputs = bench::inputs_of<float>(shape, bench::load::uniform, tokens);
    moe::cpu cpu{{.threads = threads}};
    moe::arena memory;
    moe::matrix<float> y(tokens, shape.features);
    const char* const names[] = {"route_us", "plan_us", "gate_up_us", "down_us", "combine_us"};
    std::vector<double> times[std::size(names)];
    const int runs = (tokens == 1 ? 5 : 1) * bench::options().runs + 1;
    for (int run = 0; run < runs; ++run) {
        const auto& layer = layers[std::size_t(run) % layers.size()];
        const auto& bank = layer.experts();
        const moe::batch<float> in = inputs[std::size_t(run) / layers.size() % inputs.size()].batch();
        std::vector<double> at{bench::seconds_now()};
        memory.reset();
        const moe::routing<float> s = layer.route(cpu, in, memory);
        at.push_back(bench::seconds_now());
        const moe::plan_view plan =
            K::build_plan(cpu, tokens, shape.experts, s.routes.offset, s.routes.expert, memory);
        at.push_back(bench::seconds_now());
        const auto h = memory.take<float>(plan.rows(), shape.hidden);
        const auto rows = memory.take<float>(plan.rows(), shape.features);
        const moe::row_groups by_token{plan.offset, plan.token};
        K::grouped_gated_activation(cpu, by_token, in.x, bank.gate, bank.up, {}, {}, bank.activation, h, {}, {});
        at.push_back(bench::seconds_now());
        K::grouped_linear(cpu, {plan.offset, {}}, moe::input_view<float>(h), bank.down, {}, rows);
        at.push_back(bench::seconds_now());
        K::weighted_sum(cpu, plan, moe::input_view<float>(rows), s.routes.weight, y.view(), false);
        at.push_back(bench::seconds_now());
        for (std::size_t i = 0; i < std::size(names) && run > 0; ++i) times[i].push_back(1e6 * (at[i + 1] - at[i]));
        const moe::matrix<float> whole = layer(cpu, in);
        if (!(bench::error_of<float, float>(y.view(), whole.view()) <= 1e-6)) {
            return bench::fail(state, "the stages do not make the layer");
        }
    }
    double sum = 0;
    for (std::size_t i = 0; i < std::size(names); ++i) {
        state.counters[names[i]] = bench::median(times[i]);
        sum += bench::median(times[i]);
    }
    for (auto _ : state) state.SetIterationTime(sum / 1e6);
}

template <class Format>
void add_forward(const bench::layer_shape& shape, index_t tokens, bench::load kind) {
    for (const index_t threads : bench::options().threads) {
        const std::string name =
            bench::run_name("layer/forward", Format::name, shape, tokens, threads, bench::name_of(kind));
        bench::add(name, [=](benchmark::State& state) { forward<Format>(state, name, shape, tokens, threads, kind); });
    }
}

template <class Format>
void add_stages() {
    for (const bench::layer_shape& shape : bench::shapes()) {
        for (const index_t tokens : {1, 512}) {
            for (const index_t threads : bench::options().threads) {
                bench::add(bench::run_name("layer/stages", Format::name, shape, tokens, threads, "uniform"),
                           [=](benchmark::State& state) { stages<Format>(state, shape, tokens, threads); });
            }
        }
    }
}

template <class Format>
void add_all() {
    for (const bench::layer_shape& shape : bench::shapes()) {
        for (const index_t tokens : bench::token_counts()) {
            for (const bench::load kind : bench::loads(shape)) {
                if (tokens == 1 && (kind == bench::load::zipf || kind == bench::load::one_hot)) continue;  // no skew
                add_forward<Format>(shape, tokens, kind);
            }
        }
    }
}

}  // namespace

void bench::register_benchmarks() {
    add_all<f32>();
    add_all<bf16>();
    add_all<f16>();
    add_all<int8_32>();
    add_all<int8_128>();
    add_all<int8_rows>();
    add_all<int4_32>();
    add_all<int4_zero_32>();
    add_all<ternary_32>();
    add_all<ternary_packed>();
    add_stages<f32>();
    add_stages<bf16>();
    add_stages<int8_32>();
}
