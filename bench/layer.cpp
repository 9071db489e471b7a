// The whole layer, forward: router, experts, combine. Names read layer/forward/f32/B/T:512/threads:2/uniform.
// SPDX-License-Identifier: Apache-2.0
//
// Formats of the weights: support/formats.hpp. Shapes: support/shapes.hpp. Loads: support/loads.hpp. Counters: support/measure.hpp. Weights are cold: a layer whose
// weights were not used for longest takes the next run. Every result is checked before it is timed.
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
        return input.touched() * shape.expert_parameters() * Format::bytes;
    }, [&](auto& counters) {
        counters["scratch_bytes"] = static_cast<double>(cpu.scratch().peak());
        counters["max_rows"] = inputs[0].most_rows();
        counters["mean_rows"] = static_cast<double>(tokens) * shape.per_token / shape.experts;
    });
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
void add_all() {
    for (const bench::layer_shape& shape : bench::shapes()) {
        for (const index_t tokens : bench::token_counts()) {
            for (const bench::load kind : bench::loads()) {
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
}
