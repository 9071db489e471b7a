// score: every row divided by its root mean square, with an optional learned gain per column
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = gain[e] * z[e] / sqrt(mean over e of z[e]^2 + epsilon)
//
// Source: Zhang and Sennrich 2019; on relu scores BlockFFN's router; on features, features_through{rms_normalize,
// gate}, Gemma 4's.
// gain          as many as there are columns (of the scores, or of the features), 1 at first; `columns` 0: none
// edges         a row of zeros stays zeros; NaN or an infinity fills its row with NaN, so a mask belongs behind this
//               step
// errors        value_error unless epsilon is positive and finite; shape_error for a gain of another width
// gradient      with r = 1 / sqrt(mean + epsilon), a[e] = gain[e] dz'[e]: dz[e] = r (a[e] - z[e] r^2 mean(a z));
//               d_gain[e] = sum over t of dz'[e] z[e] r
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct rms_normalize_options {
    index_t columns = 0;    // of the learned gain; 0: no gain
    double epsilon = 1e-6;  // added to the mean square
};

template <class T>
struct rms_normalize {
    using role = score_step;
    static constexpr const char* name = "rms_normalize";

    matrix<T> gain;  // [1,columns], or empty
    double epsilon;

    rms_normalize(rms_normalize_options o = {}) : gain(o.columns == 0 ? 0 : 1, o.columns), epsilon(o.epsilon) {
        std::fill(gain.span().begin(), gain.span().end(), T(1));
    }

    // A gain tells experts apart.
    part_traits traits() const { return {.expert_equivariant = gain.size() == 0}; }

    void check(const batch<T>&, index_t columns, index_t) const {
        if (!(epsilon > 0.0 && epsilon < std::numeric_limits<double>::infinity())) {
            throw_value("rms_normalize.epsilon", "a positive finite number", std::to_string(epsilon));
        }
        if (gain.size() != 0) detail::require_shape("rms_normalize.gain", gain.view(), 1, columns);
    }

    // 1 / root mean square of every row.
    template <class B>
    std::span<const T> forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        const std::span<T> inverse = s.memory->template take<T>(static_cast<std::size_t>(scores.rows));
        kernels_of<B>::for_rows(b, scores.rows, [=, g = gain.data(), e = static_cast<T>(epsilon)](index_t t) {
            T* z = scores.row(t);
            T sum = T(0);
            for (index_t i = 0; i < scores.cols; ++i) sum += z[i] * z[i];
            const T r = T(1) / std::sqrt(sum / static_cast<T>(scores.cols) + e);
            for (index_t i = 0; i < scores.cols; ++i) z[i] *= g == nullptr ? r : r * g[i];
            inverse[static_cast<std::size_t>(t)] = r;
        });
        return inverse;
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, std::span<const T> inverse,
                  rms_normalize& gradient) const {
        const matrix_view<const T> scores = before.scores;
        const matrix_view<T> d_scores = d.scores;
        const T* g = gain.data();
        if (g != nullptr) add_gain_gradient(b, scores, d_scores, inverse, gradient.gain.data());
        kernels_of<B>::for_rows(b, scores.rows, [=](index_t t) {
            const T* z = scores.row(t);
            T* d_z = d_scores.row(t);
            const T r = inverse[static_cast<std::size_t>(t)];
            T along = T(0);
            for (index_t i = 0; i < scores.cols; ++i) {
                if (g != nullptr) d_z[i] *= g[i];
                along += d_z[i] * z[i];
            }
            const T pull = r * r * along / static_cast<T>(scores.cols);
            for (index_t i = 0; i < scores.cols; ++i) d_z[i] = r * (d_z[i] - z[i] * pull);
        });
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("gain", p.gain...);
    }

private:
    template <class B>
    static void add_gain_gradient(B& b, matrix_view<const T> z, matrix_view<const T> d_scores,
                                  std::span<const T> inverse, T* d_gain) {
        kernels_of<B>::for_rows(b, z.cols, [=](index_t e) {
            T sum = T(0);
            for (index_t t = 0; t < z.rows; ++t) sum += d_scores(t, e) * z(t, e) * inverse[static_cast<std::size_t>(t)];
            d_gain[e] += sum;
        });
    }
};

MOE_END
