// score: a learned number per expert, added for every token
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] + bias[e]
//
// Source: test-time adaptation of routing by additive logit vectors; the router bias of GPT-OSS is the same sum. It
// reaches choice and weights; a bias in the choice only is selection_bias.
// parameters    bias [1,E], zeros at first: scores then keep their bits up to the sign of a zero
// errors        value_error for fewer than 1 expert; shape_error unless there is one bias per column
// gradient      passes through; d_bias[e] = sum over t of dz'[e]
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <class T>
struct logit_bias {
    using role = score_step;
    static constexpr const char* name = "logit_bias";
    static constexpr bool expert_equivariant = false;

    matrix<T> bias;  // [1,E]

    explicit logit_bias(index_t experts) {
        if (experts < 1) throw_value("logit_bias.experts", "at least 1", std::to_string(experts));
        bias = matrix<T>(1, experts);
    }

    void check(const batch<T>&, index_t columns, index_t) const {
        detail::require_shape("logit_bias.bias", bias.view(), 1, columns);
    }

    template <class B>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [scores, add = bias.data()](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) += add[e];
        });
    }

    template <class B>
    void backward(B& b, const routing<T>&, const routing<T>&, adjoint<T>& d, logit_bias& gradient) const {
        kernels_of<B>::for_rows(b, d.scores.cols, [d_scores = d.scores, d_bias = gradient.bias.data()](index_t e) {
            T sum = T(0);
            for (index_t t = 0; t < d_scores.rows; ++t) sum += d_scores(t, e);
            d_bias[e] += sum;
        });
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("bias", p.bias...);
    }
};

MOE_END
