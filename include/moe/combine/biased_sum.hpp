// combine: rows [R,D] -> y [T,D], the weighted sum and one learned bias for all tokens
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = sum over the rows r of t, by ascending expert, of weight[slot of r] * rows[r]  +  bias
//
// Source: JetMoE. Masked tokens get exact zeros; a live token without routes gets the bias.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct biased_sum_options {
    index_t outputs = 0;  // D
};

template <class T>
class biased_sum {
public:
    using role = combine_part;
    static constexpr bool applies_weight = true;

    matrix<T> bias;  // [1,D] zeros at the start

    biased_sum(const biased_sum_options& o) {
        detail::require_positive("biased_sum.outputs", o.outputs);
        bias = matrix<T>(1, o.outputs);
    }

    index_t outputs(index_t bank_outputs) const {
        if (bank_outputs != bias.cols()) {
            throw_shape("biased_sum: outputs", std::to_string(bank_outputs) + " (outputs of the experts)",
                        std::to_string(bias.cols()));
        }
        return bank_outputs;
    }

    template <class B>
    void forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> rows, matrix_view<T> y) const {
        kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, y, false);
        kernels_of<B>::for_rows(b, y.rows, [y, add = bias.view(), in = s.in()](index_t t) {
            if (!in.live(t)) return;
            for (index_t j = 0; j < y.cols; ++j) y(t, j) += add(0, j);
        });
    }

    template <class B>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> rows, matrix_view<const T> dy,
                  matrix_view<T> d_rows, adjoint<T>& d, biased_sum& g) const {
        kernels_of<B>::for_rows(b, dy.cols, [dy, sum = g.bias.view(), in = s.in()](index_t j) {
            for (index_t t = 0; t < dy.rows; ++t) {
                if (in.live(t)) sum(0, j) += dy(t, j);
            }
        });
        kernels_of<B>::weighted_sum_gradient(b, plan, rows, s.routes.weight, dy, d_rows, d.weight);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("bias", p.bias...);
    }
};

MOE_END
