// score: softmax over the experts of every token
// SPDX-License-Identifier: Apache-2.0
//
//     p[e] = exp(z[e] - max z) / sum over j of exp(z[j] - max z)
//
// Source: Shazeer et al. 2017, Switch, Mixtral and most routers.
// edges         a row whose scores are all -inf has p = 0 everywhere; -inf gives exactly 0; NaN or +inf fills its row
//               with NaN and no other
// gradient      dz[e] = p[e] * (dp[e] - sum over j of p[j] dp[j])
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"
#include "moe/core/softmax_row.hpp"

MOE_BEGIN

struct softmax {
    using role = score_step;
    static constexpr const char* name = "softmax";
    static constexpr bool non_negative = true;
    static constexpr bool sums_to_one = true;
    static constexpr bool any_memory = true;

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=] MOE_ROW(index_t t) {
            detail::softmax_row(scores.row(t), scores.cols);
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const routing<T>& after, adjoint<T>& d) const {
        const matrix_view<const T> p = after.scores;
        const matrix_view<T> d_scores = d.scores;
        kernels_of<B>::for_rows(b, p.rows, [=] MOE_ROW(index_t t) {
            detail::softmax_row_gradient(p.row(t), d_scores.row(t), p.cols);
        });
    }
};

MOE_END
