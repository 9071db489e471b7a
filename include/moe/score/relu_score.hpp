// score: negative scores become 0
// SPDX-License-Identifier: Apache-2.0
//
//     s[e] = max(z[e], 0)
//
// Source: ReMoE (Wang et al. 2024), BlockFFN; with a selector of all positive scores the number of experts is the
// router's own decision.
// edges         NaN stays in its entry; -inf becomes 0
// gradient      dz[e] = ds[e] where z[e] > 0, else 0
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct relu_score {
    using role = score_step;
    static constexpr const char* name = "relu_score";
    static constexpr bool non_negative = true;

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) {
                if (scores(t, e) < T(0)) scores(t, e) = T(0);
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [z = before.scores, d_z = d.scores](index_t t) {
            for (index_t e = 0; e < z.cols; ++e) {
                if (z(t, e) <= T(0)) d_z(t, e) = T(0);
            }
        });
    }
};

MOE_END
