// train/loss: routing of a tape -> mean entropy of a token's probabilities, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * mean over live tokens t of H(P[t]),   H(p) = -sum over e of p[e] ln p[e]
//
// A positive coefficient makes routers decided, a negative one undecided. Source: Huang et al. 2024 (dynamic top-p routing),
// LIMoE (local entropy, by modality), LoRA-Mixer (signed). ln E for even probabilities, 0 for one-hot ones.
// edges         p = 0 adds 0 to value and gradient; no live token: 0
// gradient      dL/dP[t][e] = -coefficient / tokens * (ln p + 1), then as `from` says
// errors        columns other than experts (product keys); a label without batch.label; a coefficient that is not finite
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

namespace detail {

// -sum p ln p of one row.
template <class T>
MOE_FN double row_entropy(const T* p, index_t n) {
    T sum = T(0);
    for (index_t e = 0; e < n; ++e) sum -= p[e] == T(0) ? T(0) : p[e] * std::log(p[e]);
    return static_cast<double>(sum);
}

}  // namespace detail

struct token_entropy {
    static constexpr const char* name = "token_entropy";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    index_t label = -1;  // only tokens with this label; -1: all

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("token_entropy.coefficient", coefficient);
        detail::require_columns(name, s, from);
        const detail::token_filter counts = detail::live_tokens(s.in(), name, label);
        const index_t tokens = counts.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const double sum = detail::token_sum(b, p.rows, counts,
                                             [p](index_t t) { return detail::row_entropy(p.row(t), p.cols); });
        detail::add_gradient(b, tape, from, p, counts, 0, p.rows, [p, c = T(coefficient / tokens)](index_t t, index_t e) {
            return p(t, e) == T(0) ? T(0) : -c * (std::log(p(t, e)) + T(1));
        });
        return coefficient * sum / tokens;
    }
};

MOE_END
