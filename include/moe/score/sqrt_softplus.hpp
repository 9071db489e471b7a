// score: square root of the softplus of every score
// SPDX-License-Identifier: Apache-2.0
//
//     s[e] = sqrt(log(1 + exp(z[e])))
//
// Source: DeepSeek-V4's router. Positive like a sigmoid, but not bounded above.
// edges         -inf gives exactly 0, +inf gives +inf; NaN stays in its entry
// gradient      dz[e] = ds[e] * sigmoid(z[e]) / (2 s[e]), 0 where s[e] has underflowed to 0
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct sqrt_softplus {
    using role = score_step;
    static constexpr const char* name = "sqrt_softplus";
    static constexpr bool non_negative = true;

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) {
                const T z = scores(t, e);
                const T softplus = (z > T(0) ? z : T(0)) + std::log1p(std::exp(-std::abs(z)));
                scores(t, e) = std::sqrt(z != z ? z : softplus);
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, after.tokens(), [z = before.scores, s = after.scores, d_s = d.scores](index_t t) {
            for (index_t e = 0; e < s.cols; ++e) {
                const T slope = s(t, e) == T(0) ? T(0) : T(1) / (T(2) * s(t, e) * (T(1) + std::exp(-z(t, e))));
                d_s(t, e) *= slope;
            }
        });
    }
};

MOE_END
