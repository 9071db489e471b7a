// combine: rows [R,D] -> y [T,D], the plain sum of a token's rows
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = sum over the rows r of t, by ascending expert, of rows[r]
//
// For banks that apply the weights of the routes themselves (weigh_input, weigh_hidden), where a layer takes it by
// itself, and for unweighted votes (hash layers, FactorLLM). The weights get no gradient here.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct row_sum {
    using role = combine_part;
    static constexpr bool any_memory = true;

    index_t outputs(index_t bank_outputs) const { return bank_outputs; }

    template <class B, class T>
    void forward(B& b, const routing<T>&, const plan_view& plan, input_view<T> rows, matrix_view<T> y) const {
        kernels_of<B>::weighted_sum(b, plan, rows, {}, y, false);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const plan_view& plan, input_view<T> rows, input_view<T> dy,
                  matrix_view<T> d_rows, adjoint<T>&) const {
        kernels_of<B>::weighted_sum_gradient(b, plan, rows, {}, dy, d_rows, {});
    }
};

MOE_END
