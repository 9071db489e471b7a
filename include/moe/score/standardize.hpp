// score: every row shifted to mean 0 and scaled to variance 1
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = (z[e] - mean) / sqrt(variance + epsilon),   variance = mean of (z - mean)^2
//
// Source: layer normalisation without its affine part (Ba et al. 2016); on features, in front of a linear gate with
// standardised weights and temperature{sqrt(F)}, PHATGOOSE's router (Muqeeth et al. 2024).
// edges         a constant row becomes zeros; NaN or an infinity fills its row with NaN, so a mask belongs behind this
//               step
// errors        value_error unless epsilon is positive and finite
// gradient      dz[e] = (dz'[e] - mean(dz') - z'[e] mean(dz' z')) / sqrt(variance + epsilon)
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct standardize {
    using role = score_step;
    static constexpr const char* name = "standardize";

    double epsilon = 1e-5;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(epsilon > 0.0 && epsilon < std::numeric_limits<double>::infinity())) {
            throw_value("standardize.epsilon", "a positive finite number", std::to_string(epsilon));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [=, e = static_cast<T>(epsilon)](index_t t) {
            T* z = scores.row(t);
            const moments<T> m = moments_of(z, scores.cols, e);
            for (index_t i = 0; i < scores.cols; ++i) z[i] = (z[i] - m.mean) / m.deviation;
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(),
                                [scores = before.scores, standard = after.scores, d_scores = d.scores,
                                 e = static_cast<T>(epsilon)](index_t t) {
                                    const T* y = standard.row(t);
                                    T* d_z = d_scores.row(t);
                                    const T n = static_cast<T>(scores.cols);
                                    T mean = T(0), along = T(0);
                                    for (index_t i = 0; i < scores.cols; ++i) {
                                        mean += d_z[i] / n;
                                        along += d_z[i] * y[i] / n;
                                    }
                                    const T deviation = moments_of(scores.row(t), scores.cols, e).deviation;
                                    for (index_t i = 0; i < scores.cols; ++i)
                                        d_z[i] = (d_z[i] - mean - y[i] * along) / deviation;
                                });
    }

private:
    template <class T>
    struct moments {
        T mean, deviation;
    };

    template <class T>
    MOE_FN static moments<T> moments_of(const T* z, index_t n, T e) {
        T mean = T(0);
        for (index_t i = 0; i < n; ++i) mean += z[i];
        mean /= static_cast<T>(n);
        T variance = T(0);
        for (index_t i = 0; i < n; ++i) variance += (z[i] - mean) * (z[i] - mean);
        return {mean, std::sqrt(variance / static_cast<T>(n) + e)};
    }
};

MOE_END
