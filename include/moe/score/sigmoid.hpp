// score: sigmoid of every score by itself
// SPDX-License-Identifier: Apache-2.0
//
//     s[e] = 1 / (1 + exp(-z[e]))
//
// Source: DeepSeek-V3, Llama 4, GLM-4.5, MiniMax-M2 and most routers with a selection bias.
// edges         -inf gives exactly 0, +inf exactly 1; NaN stays in its entry. A score of 0 can still be chosen: to
//               exclude an expert from the choice, put keys_only{expert_mask} behind the score
// gradient      dz[e] = s[e] * (1 - s[e]) * ds[e]
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct sigmoid {
    using role = score_step;
    static constexpr const char* name = "sigmoid";
    static constexpr bool non_negative = true;
    static constexpr bool any_memory = true;

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) = T(1) / (T(1) + std::exp(-scores(t, e)));
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const routing<T>& after, adjoint<T>& d) const {
        const matrix_view<const T> s = after.scores;
        const matrix_view<T> d_scores = d.scores;
        kernels_of<B>::for_rows(b, s.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < s.cols; ++e) d_scores(t, e) *= s(t, e) * (T(1) - s(t, e));
        });
    }
};

MOE_END
