// combine: rows [R,D] -> y [T,D], the weighted sum times a constant
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = factor * sum over the rows r of t, by ascending expert, of weight[slot of r] * rows[r]
//
// Source: MiniMax-M3, Step-3.7, Laguna (routed scaling factor on the sum, before shared experts); FactorLLM (E / k).
// The route step scale{} multiplies the weights instead, which differs in the last bits.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct scaled_sum {
    using role = combine_part;
    static constexpr bool applies_weight = true;

    double factor = 1.0;

    index_t outputs(index_t bank_outputs) const {
        if (!(factor - factor == 0.0)) throw_value("scaled_sum.factor", "a finite number", std::to_string(factor));
        return bank_outputs;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, matrix_view<T> y) const {
        kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, y, false);
        times<B, T>(b, y, y);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, input_view<T> dy,
                  matrix_view<T> d_rows, adjoint<T>& d) const {
        const matrix_view<T> upstream = b.scratch().template take<T>(dy.rows, dy.cols);
        times<B, T>(b, dy, upstream);
        kernels_of<B>::weighted_sum_gradient(b, plan, rows, s.routes.weight, upstream, d_rows, d.weight);
    }

private:
    template <class B, class T>
    void times(B& b, matrix_view<const T> from, matrix_view<T> to) const {
        kernels_of<B>::for_rows(b, to.rows, [from, to, f = T(factor)](index_t t) {
            for (index_t j = 0; j < to.cols; ++j) to(t, j) = f * from(t, j);
        });
    }
};

MOE_END
