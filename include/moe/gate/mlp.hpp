// gate: features [T,F] -> logits [T,E], through one hidden layer
// SPDX-License-Identifier: Apache-2.0
//
//     logits = weight_out act(weight_in features + bias_in) + bias_out
//
// Source: T2MIR (tanh, hidden = E, no biases), Expert Race (GELU), RMoE and ZAYA in deeper forms. Activation is any
// plain activation of the experts, e.g. mlp_gate<float, moe::gelu>; tanh if not named.
// errors        value_error unless features, hidden and experts are positive
// gradient      of both linear maps and the activation
// NaN           stays in its token
// cost          2 T (F W + W E) flops for W hidden units; keeps 2 T W values
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct tanh_activation {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return M::tanh(z);
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V t = M::tanh(z);
        return dh * (V(1) - t * t);
    }
};

struct mlp_gate_options {
    index_t features = 0;
    index_t hidden = 0;
    index_t experts = 0;
    bool bias = false;  // on both layers
    std::uint64_t seed = 0;
};

template <class T, class Activation = tanh_activation>
struct mlp_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "mlp_gate";

    panels<T> weight_in;   // [1,W,F]
    panels<T> weight_out;  // [1,E,W]
    matrix<T> bias_in;     // [1,W], or empty
    matrix<T> bias_out;    // [1,E], or empty

    mlp_gate(mlp_gate_options o) {
        detail::require_positive("mlp_gate.features", o.features);
        detail::require_positive("mlp_gate.hidden", o.hidden);
        detail::require_positive("mlp_gate.experts", o.experts);
        weight_in = panels<T>(1, o.hidden, o.features);
        weight_out = panels<T>(1, o.experts, o.hidden);
        if (o.bias) bias_in = matrix<T>(1, o.hidden);
        if (o.bias) bias_out = matrix<T>(1, o.experts);
        detail::draw_uniform(weight_in, o.seed, "mlp_gate.weight_in");
        detail::draw_uniform(weight_out, o.seed, "mlp_gate.weight_out");
    }

    index_t features() const { return weight_in.inputs(); }
    index_t columns() const { return weight_out.outputs(); }

    struct kept {
        matrix_view<const T> z, h;  // [T,W] argument and value of the activation
    };

    template <class B>
    kept forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, s.tokens()};
        const row_groups rows{all, {}};
        const index_t width = weight_in.outputs();
        const matrix_view<T> h = s.memory->template take<T>(s.tokens(), width);
        const matrix_view<T> z = s.recording ? s.memory->template take<T>(s.tokens(), width) : matrix_view<T>{};
        K::template grouped_activation<B, T>(b, rows, s.in().features, weight_in, bias_in, Activation{}, h, z);
        K::template grouped_linear<B, T>(b, rows, h, weight_out, bias_out, logits);
        return {z, h};
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, const kept& saved,
                  mlp_gate& g) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, before.tokens()};
        const row_groups rows{all, {}};
        const matrix_view<T> d_h = b.scratch().template take<T>(before.tokens(), weight_in.outputs());
        K::template grouped_weight_gradient<B, T>(b, rows, d.logits, saved.h, g.weight_out);
        if (bias_out.size() != 0) K::template grouped_bias_gradient<B, T>(b, rows, d.logits, g.bias_out.view());
        K::template grouped_input_gradient<B, T>(b, rows, d.logits, weight_out, d_h, false);
        K::template activation_gradient<B, T>(b, rows, saved.z, Activation{}, d_h);
        K::template grouped_weight_gradient<B, T>(b, rows, d_h, before.in().features, g.weight_in);
        if (bias_in.size() != 0) K::template grouped_bias_gradient<B, T>(b, rows, d_h, g.bias_in.view());
        K::template grouped_input_gradient<B, T>(b, rows, d_h, weight_in, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight_in", p.weight_in...);
        v("weight_out", p.weight_out...);
        v("bias_in", p.bias_in...);
        v("bias_out", p.bias_out...);
    }
};

MOE_END
