// gate: features [T,F] -> logits [T,E], linear
// SPDX-License-Identifier: Apache-2.0
//
//     logits[t][e] = <features[t], weight[e]> + bias[e]
//
// Source: every published router but a few (Shazeer et al. 2017, Switch, GShard, Mixtral, DeepSeek). The bias is
// gpt-oss's router bias; a bias that acts in the choice only is the key step selection_bias.
// Math          the type in which the product runs, a template argument with three named values:
//                 gate_math::model        T throughout
//                 gate_math::float_score  the product in T, the scores in float or better; the same as `model` for the
//                                         scalars that exist today, float and double
//                 gate_math::upcast       x and weight converted to the next wider type before the product (double for
//                                         float), each logit rounded once to T; gradients in T
//               Weights stored in a narrower type than T do not exist yet.
// gradient      d_weight += d_logits^T features, d_bias += column sums, d_features += d_logits weight
// NaN           stays in its token
// cost          2 T F E flops; `upcast` is a plain loop, several times slower than the backend's product
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

enum class gate_math { model, float_score, upcast };

namespace detail {

// A panel's logits of one token at a time, inputs in ascending order.
template <class B, class T>
void multiply_wide(B& b, matrix_view<const T> x, const panels_view<const T>& weight, matrix_view<const T> bias,
                   matrix_view<T> logits) {
    kernels_of<B>::for_rows(b, logits.rows, [=] MOE_ROW(index_t t) {
        constexpr index_t width = panels_view<T>::width;
        for (index_t p = 0; p < weight.panel_count(); ++p) {
            const T* w = weight.panel(0, p);
            double sum[std::size_t(width)] = {};
            for (index_t k = 0; k < x.cols; ++k, w += width) {
                const double input = static_cast<double>(x(t, k));
                for (index_t n = 0; n < width; ++n) sum[n] += input * static_cast<double>(w[n]);
            }
            for (index_t n = 0; n < width && p * width + n < logits.cols; ++n) {
                const index_t e = p * width + n;
                const double offset = bias.data == nullptr ? 0.0 : static_cast<double>(bias(0, e));
                logits(t, e) = static_cast<T>(sum[n] + offset);
            }
        }
    });
}

}  // namespace detail

template <class T, gate_math Math = gate_math::model>
struct linear_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "linear_gate";
    static constexpr bool any_memory = true;

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
        if constexpr (Math == gate_math::upcast && sizeof(T) < sizeof(double)) {
            detail::multiply_wide(b, s.in().features, weight.view(), bias.view(), logits);
        } else {
            const index_t all[2] = {0, s.tokens()};
            kernels_of<B>::grouped_linear(b, {all, {}}, s.in().features, weight, bias, logits);
        }
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, linear_gate& g) const {
        const index_t all[2] = {0, before.tokens()};
        const row_groups rows{all, {}};
        kernels_of<B>::grouped_weight_gradient(b, rows, d.logits, before.in().features, g.weight);
        if (bias.size() != 0) kernels_of<B>::grouped_bias_gradient(b, rows, d.logits, g.bias.view());
        backward(b, before, after, d);
    }

    // With respect to the features alone, for frozen_gate.
    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        const index_t all[2] = {0, before.tokens()};
        kernels_of<B>::grouped_input_gradient(b, {all, {}}, d.logits, weight, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("bias", p.bias...);
    }
};

MOE_END
