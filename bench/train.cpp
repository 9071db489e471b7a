// A training step: forward with a tape, then backward. Names read train/step/f32/B/T:512/threads:2/uniform;
// train/recompute keeps no hidden values on the tape.
// SPDX-License-Identifier: Apache-2.0
//
// The gradient accumulates, as over micro-batches. Operations: three times those of the forward pass. dx of the first
// tokens is checked against the reference backend; tiny gradients are checked whole, against reference in double.
#include "support/check.hpp"
#include "support/measure.hpp"

namespace {

using bench::index_t;

// What a step needs beside the layer.
template <class Format>
struct step_memory {
    using T = typename Format::scalar;
    using layer_type = bench::layer_type<Format>;

    moe::matrix<T> dy, y, dx;
    typename layer_type::gradient gradient;
    moe::tape<T> tape;

    step_memory(const layer_type& layer, index_t tokens)
        : dy(moe::testing::random_matrix<T>(tokens, layer.outputs(), 2)), y(tokens, layer.outputs()),
          dx(tokens, layer.features()), gradient(layer.make_gradient()) {}

    template <class B>
    void run(B& b, const layer_type& layer, const moe::batch<T>& in) {
        layer.forward(b, in, y.view(), tape);
        layer.backward(b, dy.view(), tape, dx.view(), gradient);
    }
};

template <class Format>
using input_of = bench::layer_input<typename Format::scalar>;

template <class T, class Format>
double error_of_dx(moe::matrix_view<T> got, const step_memory<Format>& wanted) {
    return bench::error_of<std::remove_const_t<T>, typename Format::scalar>(got, wanted.dx.view());
}

template <class T, class U>
bool same_gradient(const moe::panels<T>& got, const moe::panels<U>& wanted) {
    moe::matrix<T> a(got.groups() * got.outputs(), got.inputs());
    moe::matrix<U> b(a.rows(), a.cols());
    for (index_t g = 0; g < got.groups(); ++g) {
        got.read(g, a.view().middle_rows(g * got.outputs(), got.outputs()));
        wanted.read(g, b.view().middle_rows(g * got.outputs(), got.outputs()));
    }
    return bench::error_of<T, U>(a.view(), b.view()) <= bench::same_format<T>::tolerated;
}

// Everything that a step computes, against the same layer in double.
template <class Format>
std::string check_all(const step_memory<Format>& got, const bench::layer_shape& shape, const input_of<Format>& input) {
    const auto layer = bench::make_layer<bench::f64>(shape);
    moe::matrix<double> x(input.x.rows(), input.x.cols());
    std::copy(input.x.span().begin(), input.x.span().end(), x.span().begin());
    moe::batch<double> in;
    in.x = x.view();
    moe::reference reference;
    step_memory<bench::f64> wanted(layer, x.rows());
    wanted.run(reference, layer, in);
    const auto &mine = std::get<1>(got.gradient), &bank = std::get<1>(wanted.gradient);
    const auto &my_gate = std::get<0>(std::get<0>(got.gradient)), &gate = std::get<0>(std::get<0>(wanted.gradient));
    if (!(error_of_dx(got.dx.view(), wanted) <= Format::tolerated)) return "dx is wrong";
    if (!same_gradient(my_gate.weight, gate.weight)) return "the gradient of the router's weights is wrong";
    if (!same_gradient(mine.gate, bank.gate)) return "the gradient of the experts' gate weights is wrong";
    if (!same_gradient(mine.up, bank.up)) return "the gradient of the experts' up weights is wrong";
    if (!same_gradient(mine.down, bank.down)) return "the gradient of the experts' down weights is wrong";
    return "";
}

// dx of the first tokens alone: they do not depend on their batch.
template <class Format>
std::string check_some(const step_memory<Format>& got, const bench::layer_type<Format>& layer,
                       const input_of<Format>& input) {
    const index_t few = std::min(input.x.rows(), index_t{2});
    moe::reference reference;
    step_memory<Format> wanted(layer, few);
    wanted.run(reference, layer, input.batch(few));
    const auto dx = got.dx.view().middle_rows(0, few);
    return error_of_dx(dx, wanted) <= Format::tolerated ? "" : "differs from the reference";
}

template <class Format>
void step(benchmark::State& state, const std::string& name, const bench::layer_shape& shape, index_t tokens,
          index_t threads, bench::load kind) {
    const auto& layer = bench::layer_copies<Format>::get(shape, true)[0];
    const std::vector<input_of<Format>> inputs = bench::inputs_of<typename Format::scalar>(shape, kind, tokens);
    moe::cpu cpu{{.threads = threads}};
    step_memory<Format> memory(layer, tokens);
    memory.run(cpu, layer, inputs[0].batch());
    const std::string fault = bench::options().tiny ? check_all(memory, shape, inputs[0])
                                                    : check_some(memory, layer, inputs[0]);
    if (!fault.empty()) return bench::fail(state, fault);
    bench::measure<Format>(state, name, {threads, tokens, 3 * shape.operations(tokens)}, [&](index_t run) {
        const auto& input = inputs[std::size_t(run) % inputs.size()];
        memory.run(cpu, layer, input.batch());
        return input.touched() * bench::expert_bytes<Format>(shape);
    }, [&](auto& counters) {
        counters["scratch_bytes"] = static_cast<double>(cpu.scratch().peak());
        counters["tape_bytes"] = static_cast<double>(memory.tape.memory().peak());
        counters["max_rows"] = inputs[0].most_rows();
        counters["mean_rows"] = static_cast<double>(tokens) * shape.per_token / shape.experts;
    });
}

}  // namespace

void bench::register_benchmarks() {
    for (const layer_shape& shape : shapes()) {
        for (const index_t tokens : token_counts()) {
            for (const load kind : {load::uniform, load::zipf}) {
                for (const index_t threads : options().threads) {
                    const std::string name = run_name("train/step", f32::name, shape, tokens, threads, name_of(kind));
                    add(name, [=](benchmark::State& state) { step<f32>(state, name, shape, tokens, threads, kind); });
                }
            }
            for (const index_t threads : options().threads) {
                const std::string name =
                    run_name("train/recompute", f32::name, shape, tokens, threads, name_of(load::uniform));
                add(name, [=](benchmark::State& state) {
                    step<f32_recompute>(state, name, shape, tokens, threads, load::uniform);
                });
            }
        }
    }
}
