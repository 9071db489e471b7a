// train/loss: logits of a tape -> router z loss, gradient added to tape.d.logits
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * mean over live tokens t of lse[t]^2,   lse[t] = log sum over e of exp(logits[t][e])
//
// Source: ST-MoE (Zoph et al. 2022). Reads the gate's logits, never the scores. Equal logits of value c give
// (c + ln E)^2: keeping logits small is the aim, balance plays no part. No live token: 0 and no gradient.
// edges         a token whose logits are all -inf counts as 0; NaN stays in its token's gradient
// gradient      dL/dlogits[t][e] = coefficient * 2 / live tokens * lse[t] * softmax(logits[t])[e]
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct z_loss {
    static constexpr const char* name = "z_loss";

    double coefficient = 1.0;

    // The loss, times the coefficient.
    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        detail::require_finite("z_loss.coefficient", coefficient);
        const routing<T>& s = tape.routing();
        const detail::token_filter live = detail::live_tokens(s.in());
        arena_frame frame(b.scratch());
        const double tokens = detail::count_tokens(b, live, 0, s.tokens());
        if (tokens == 0.0) return 0.0;
        const std::span<T> lse = b.scratch().template take<T>(std::size_t(s.tokens()));
        const matrix_view<const T> z = s.logits;
        const double sum = detail::token_sum(b, s.tokens(), live, [=] MOE_ROW(index_t t) {
            lse[std::size_t(t)] = log_sum_exp(z.row(t), z.cols);
            return static_cast<double>(lse[std::size_t(t)]) * static_cast<double>(lse[std::size_t(t)]);
        });
        const matrix_view<T> d = tape.d.logits;
        const T g = T(2.0 * coefficient / tokens);
        kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
            if (!live(t)) return;
            const T l = lse[std::size_t(t)];
            for (index_t e = 0; e < z.cols; ++e) d(t, e) += g * l * std::exp(z(t, e) - l);
        });
        return coefficient * sum / tokens;
    }

private:
    // 0 for a row of -inf alone: it then adds exp(-inf) = 0 everywhere.
    template <class T>
    MOE_FN static T log_sum_exp(const T* z, index_t n) {
        T largest = -std::numeric_limits<T>::infinity();
        for (index_t e = 0; e < n; ++e) largest = z[e] <= largest ? largest : z[e];
        if (largest == -std::numeric_limits<T>::infinity()) return T(0);
        T sum = T(0);
        for (index_t e = 0; e < n; ++e) sum += std::exp(z[e] - largest);
        return largest + std::log(sum);
    }
};

MOE_END
