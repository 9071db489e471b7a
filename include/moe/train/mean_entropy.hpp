// train/loss: routing of a tape -> entropy of the mean probabilities, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     m[e] = mean over live tokens t of P[t][e],   H(m) = -sum over e of m[e] ln m[e]
//     L = -coefficient * H(m)                           without a floor
//     L =  coefficient * max(0, at_least - H(m))        with one: only until e^at_least experts are in use
//
// Source: LIMoE (global entropy, by modality; at_least = ln of the wanted number of experts). At balance -ln E without a
// floor, 0 with one of at most ln E.
// edges         m = 0 adds 0 to value and gradient; no live token: 0
// gradient      dL/dP[t][e] = coefficient / tokens * (ln m[e] + 1), 0 above the floor, then as `from` says
// errors        columns other than experts (product keys); a label without batch.label; a coefficient that is not finite
#pragma once

#include "moe/train/token_entropy.hpp"

MOE_BEGIN

struct mean_entropy {
    static constexpr const char* name = "mean_entropy";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    double at_least = -1.0;  // nats; below 0: no floor
    index_t label = -1;      // only tokens with this label; -1: all

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("mean_entropy.coefficient", coefficient);
        detail::require_finite("mean_entropy.at_least", at_least);
        detail::require_columns(name, s, from);
        const detail::token_filter counts = detail::live_tokens(s.in(), name, label);
        const index_t tokens = counts.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const std::span<double> mean = b.scratch().template take<double>(std::size_t(p.cols));
        detail::column_sums(b, p, counts, 0, p.rows, mean);
        for (double& m : mean) m /= tokens;
        const double entropy = detail::row_entropy(mean.data(), p.cols);
        if (at_least >= 0.0 && entropy >= at_least) return 0.0;
        detail::add_gradient(b, tape, from, p, counts, 0, p.rows, [mean, c = coefficient / tokens](index_t, index_t e) {
            const double m = mean[std::size_t(e)];
            return m == 0.0 ? T(0) : T(c * (std::log(m) + 1.0));
        });
        return coefficient * (at_least >= 0.0 ? at_least - entropy : -entropy);
    }
};

MOE_END
