// score: every score bent smoothly into (-cap, cap)
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = cap * tanh(z[e] / cap)
//
// Source: router logit soft-capping (Laguna), after Gemma 2.
// edges         -inf becomes -cap, so a mask belongs behind this step; NaN stays in its entry
// errors        value_error unless cap is positive and finite
// gradient      dz[e] = dz'[e] * (1 - (z'[e] / cap)^2)
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct soft_cap {
    using role = score_step;
    static constexpr const char* name = "soft_cap";

    double cap = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(cap > 0.0 && cap < std::numeric_limits<double>::infinity())) {
            throw_value("soft_cap.cap", "a positive finite number", std::to_string(cap));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [scores, c = static_cast<T>(cap)](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) = c * std::tanh(scores(t, e) / c);
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, after.tokens(),
                                [z = after.scores, d_z = d.scores, c = static_cast<T>(cap)](index_t t) {
                                    for (index_t e = 0; e < z.cols; ++e) {
                                        const T bent = z(t, e) / c;
                                        d_z(t, e) *= T(1) - bent * bent;
                                    }
                                });
    }
};

MOE_END
