// gate: features [T,F] -> logits [T,E], linear
// SPDX-License-Identifier: Apache-2.0
//
//     logits[t][e] = <features[t], weight[e]> + bias[e]
//
// Source: every published router but a few (Shazeer et al. 2017, Switch, GShard, Mixtral, DeepSeek). The bias is gpt-oss's
// router bias; a bias that acts in the choice only is the key step selection_bias.
// gradient      d_weight += d_logits^T features, d_bias += column sums, d_features += d_logits weight
// NaN           stays in its token
// cost          2 T F E flops
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct linear_gate_options {
    index_t features = 0;     // F
    index_t experts = 0;      // E
    bool bias = false;        // add a learned bias to the logits
    std::uint64_t seed = 0;   // of the initial weights
};

template <class T>
struct linear_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "linear_gate";

    panels<T> weight;  // [1,E,F]
    matrix<T> bias;    // [1,E], or empty

    linear_gate(linear_gate_options o) {
        detail::require_positive("linear_gate.features", o.features);
        detail::require_positive("linear_gate.experts", o.experts);
        weight = panels<T>(1, o.experts, o.features);
        if (o.bias) bias = matrix<T>(1, o.experts);
        detail::draw_uniform(weight, o.seed, "linear_gate.weight");
    }

    index_t features() const { return weight.inputs(); }
    index_t columns() const { return weight.outputs(); }

    template <class B>
    void forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        const index_t all[2] = {0, s.tokens()};
        kernels_of<B>::grouped_linear(b, {all, {}}, s.in().features, weight, bias, logits);
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, linear_gate& g) const {
        const index_t all[2] = {0, before.tokens()};
        const row_groups rows{all, {}};
        kernels_of<B>::grouped_weight_gradient(b, rows, d.logits, before.in().features, g.weight);
        if (bias.size() != 0) kernels_of<B>::grouped_bias_gradient(b, rows, d.logits, g.bias.view());
        kernels_of<B>::grouped_input_gradient(b, rows, d.logits, weight, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("bias", p.bias...);
    }
};

MOE_END
