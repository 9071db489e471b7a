// tests/papers: layers whose logits are the features themselves, for values worked out by hand
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moe/moe.hpp"
#include "moe/testing/gradient_check.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace given {

using moe::index_t;

// A linear gate that passes its features on.
inline moe::linear_gate<double> pass_through(index_t experts) {
    moe::linear_gate<double> gate{{.features = experts, .experts = experts}};
    for (index_t i = 0; i < experts; ++i) {
        for (index_t j = 0; j < experts; ++j) gate.weight(0, i, j) = i == j ? 1.0 : 0.0;
    }
    return gate;
}

inline moe::ffn_bank<double, moe::silu> small_bank(index_t features, index_t experts) {
    return {{.features = features, .hidden = 2, .experts = experts}};
}

inline moe::matrix<double> rows(std::vector<std::vector<double>> values) {
    moe::matrix<double> m(index_t(values.size()), index_t(values.front().size()));
    for (std::size_t i = 0; i < values.size(); ++i) std::copy(values[i].begin(), values[i].end(), &m(index_t(i), 0));
    return m;
}

// Logits whose softmax is p.
inline moe::matrix<double> logs(moe::matrix<double> p) {
    for (std::size_t i = 0; i < p.size(); ++i) p.data()[i] = std::log(p.data()[i]);
    return p;
}

// One taped forward of a layer and what belongs to it.
template <class Layer>
struct call {
    Layer layer;
    moe::matrix<double> x;
    moe::matrix<double> y;
    moe::batch<double> in;
    moe::tape<double> tape;
    moe::reference b;

    call(Layer l, moe::matrix<double> features, moe::batch<double> more = {})
        : layer(std::move(l)), x(std::move(features)), y(x.rows(), layer.outputs()), in(more) {
        run();
    }
    call(const call&) = delete;

    void run() {
        in.x = x;
        layer.forward(b, in, y.view(), tape);
    }
    const moe::plan_view& plan() const { return tape.plan(); }
    std::vector<index_t> loads() const {
        std::vector<index_t> n;
        for (index_t e = 0; e < tape.plan().experts(); ++e) n.push_back(tape.plan().count(e));
        return n;
    }
};
template <class Layer>
call(Layer, moe::matrix<double>) -> call<Layer>;
template <class Layer>
call(Layer, moe::matrix<double>, moe::batch<double>) -> call<Layer>;

// softmax router over given logits, top k, raw weights.
inline auto softmax_layer(index_t experts, index_t k) {
    return moe::layer{moe::router{pass_through(experts), moe::softmax{}, moe::top_k{.k = k}}, small_bank(experts, experts)};
}

inline double largest(moe::matrix_view<double> m) {
    double worst = 0.0;
    for (index_t i = 0; i < m.rows; ++i) {
        for (index_t j = 0; j < m.cols; ++j) worst = std::abs(m(i, j)) <= worst ? worst : std::abs(m(i, j));
    }
    return worst;
}

}  // namespace given
