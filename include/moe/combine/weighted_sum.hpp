// combine: rows [R,D] -> y [T,D], the sum of a token's rows times their weights
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = sum over the rows r of t, by ascending expert, of weight[slot of r] * rows[r]
//
// A token without routes gets exact zeros. Linear in rows and in weights; the adjoint is d_rows[r] = weight * dy[t] and
// d_weight = <dy[t], rows[r]>.
// determinism   one order per token, whatever the threads; NaN stays in the tokens whose rows hold it
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct weighted_sum {
    using role = combine_part;
    static constexpr bool applies_weight = true;
    static constexpr bool any_memory = true;

    index_t outputs(index_t bank_outputs) const { return bank_outputs; }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, matrix_view<T> y) const {
        kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, y, false);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, input_view<T> dy,
                  matrix_view<T> d_rows, adjoint<T>& d) const {
        kernels_of<B>::weighted_sum_gradient(b, plan, rows, s.routes.weight, dy, d_rows, d.weight);
    }
};

MOE_END
