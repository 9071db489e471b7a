// score: every row divided by its Euclidean length
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] / (|z| + epsilon),   |z|^2 = sum over e of z[e]^2
//
// Source: UniPool's NormRouter (with relu_score and learned_scale behind it).
// edges         entries of -inf take no part in the length and stay -inf; a row of zeros stays zeros; NaN fills its row
// errors        value_error unless epsilon is positive and finite
// gradient      dz[e] = (dz'[e] - z[e] * <z, dz'> / (|z| (|z| + epsilon))) / (|z| + epsilon); 0 for entries of -inf
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct l2_normalize {
    using role = score_step;
    static constexpr const char* name = "l2_normalize";

    double epsilon = 1e-8;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(epsilon > 0.0 && epsilon < std::numeric_limits<double>::infinity())) {
            throw_value("l2_normalize.epsilon", "a positive finite number", std::to_string(epsilon));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=, e = static_cast<T>(epsilon)](index_t t) {
            T* z = scores.row(t);
            const T divisor = length(z, scores.cols) + e;
            for (index_t i = 0; i < scores.cols; ++i) {
                if (!excluded(z[i])) z[i] /= divisor;
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [scores = before.scores, d_scores = d.scores,
                                                     e = static_cast<T>(epsilon)](index_t t) {
            const T* z = scores.row(t);
            T* d_z = d_scores.row(t);
            const T size = length(z, scores.cols);
            const T divisor = size + e;
            T along = T(0);
            for (index_t i = 0; i < scores.cols; ++i) {
                if (!excluded(z[i])) along += z[i] * d_z[i];
            }
            const T pull = size == T(0) ? T(0) : along / (size * divisor);
            for (index_t i = 0; i < scores.cols; ++i) {
                d_z[i] = excluded(z[i]) ? T(0) : (d_z[i] - z[i] * pull) / divisor;
            }
        });
    }

private:
    template <class T>
    MOE_FN static T length(const T* z, index_t n) {
        T sum = T(0);
        for (index_t i = 0; i < n; ++i) {
            if (!excluded(z[i])) sum += z[i] * z[i];
        }
        return std::sqrt(sum);
    }
};

MOE_END
