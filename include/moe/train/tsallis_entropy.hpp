// train/loss: routing of a tape -> mean Tsallis entropy of a token's probabilities, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     H_q(p) = (1 - sum over e of p[e]^q) / (q - 1),   q = 1: -sum p ln p
//     L = coefficient * mean over live tokens t of H_q(P[t])      normalised: divided by its largest value,
//                                                                 (1 - E^(1-q)) / (q - 1), so that even rows give 1
// Source: DynMoLE (q = 1.1, normalised). At balance (1 - E^(1-q)) / (q - 1), or 1 if normalised; one expert: 0.
// edges         p = 0 adds 0 to value and gradient; no live token: 0
// gradient      dL/dP[t][e] = -coefficient / tokens * q / (q - 1) * p^(q-1), then as `from` says
// errors        q not above 0; columns other than experts (product keys); a coefficient that is not finite
#pragma once

#include "moe/train/token_entropy.hpp"

MOE_BEGIN

struct tsallis_entropy {
    static constexpr const char* name = "tsallis_entropy";

    double coefficient = 1.0;
    double q = 1.1;
    bool normalised = true;
    probabilities from = probabilities::scores;

    // Of one row, in double; `p` is read n times.
    template <class T>
    MOE_FN static double of_row(const T* p, index_t n, double q) {
        if (q == 1.0) return detail::row_entropy(p, n);
        double sum = 0.0;
        for (index_t e = 0; e < n; ++e) sum += p[e] == T(0) ? 0.0 : std::pow(static_cast<double>(p[e]), q);
        return (1.0 - sum) / (q - 1.0);
    }

    // Of n even probabilities.
    static double largest(index_t n, double q) {
        const double experts = static_cast<double>(n);
        return q == 1.0 ? std::log(experts) : (1.0 - std::pow(experts, 1.0 - q)) / (q - 1.0);
    }

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("tsallis_entropy.coefficient", coefficient);
        if (!(q > 0.0 && q < 1e300)) throw_value("tsallis_entropy.q", "above 0", std::to_string(q));
        detail::require_columns(name, s, from);
        const detail::token_filter live = detail::live_tokens(s.in());
        const index_t tokens = live.count(0, s.tokens());
        if (tokens == 0 || detail::loss_experts(s) == 1) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const double factor = coefficient / tokens / (normalised ? largest(p.cols, q) : 1.0);
        const double sum = detail::token_sum(b, p.rows, live, [p, q = q](index_t t) { return of_row(p.row(t), p.cols, q); });
        detail::add_gradient(b, tape, from, p, live, 0, p.rows, [p, q = q, factor](index_t t, index_t e) {
            const double v = static_cast<double>(p(t, e));
            if (v == 0.0) return T(0);
            return T(-factor * (q == 1.0 ? std::log(v) + 1.0 : q / (q - 1.0) * std::pow(v, q - 1.0)));
        });
        return factor * sum;
    }
};

MOE_END
