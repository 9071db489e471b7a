// train/loss: weights and probabilities of a tape -> soft load-balance loss, gradient added to both
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * E * sum over e of mean_t W[t][e] * mean_t P[t][e]
//
// W are the weights of the routes, P what `from` names, means over live tokens. The load is not counted but weighed, so
// the gradient runs through both factors. Source: DynMoLE (raw weights behind top-p).
// At balance E * mean weight per expert: 1 where the weights of a token sum to 1. No live token: 0.
// gradient      dL/dW[t][e] = coefficient * E / tokens * mean P[e], to tape.d.weight; dL/dP likewise with mean W[e]
// errors        columns other than experts (product keys); a coefficient that is not finite
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct soft_balance {
    static constexpr const char* name = "soft_balance";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("soft_balance.coefficient", coefficient);
        detail::require_columns(name, s, from);
        const detail::token_filter live = detail::live_tokens(s.in());
        const index_t tokens = live.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const matrix_view<const T> w = detail::probability_rows(b, s, probabilities::route_weights);
        const std::span<double> mean_p = means(b, p, live, tokens);
        const std::span<double> mean_w = means(b, w, live, tokens);
        double sum = 0.0;
        for (std::size_t e = 0; e < mean_p.size(); ++e) sum += mean_p[e] * mean_w[e];
        const double scale = coefficient * static_cast<double>(detail::loss_experts(s));
        add(b, tape, from, p, live, mean_w, scale / tokens);
        add(b, tape, probabilities::route_weights, w, live, mean_p, scale / tokens);
        return scale * sum;
    }

private:
    template <class B, class T>
    static std::span<double> means(B& b, matrix_view<const T> p, const detail::token_filter& live, index_t tokens) {
        const std::span<double> mean = b.scratch().template take<double>(std::size_t(p.cols));
        detail::column_sums(b, p, live, 0, p.rows, mean);
        for (double& m : mean) m /= tokens;
        return mean;
    }

    template <class B, class T>
    static void add(B& b, tape<T>& tape, probabilities from, matrix_view<const T> p, const detail::token_filter& live,
                    std::span<const double> other, double factor) {
        detail::add_gradient(b, tape, from, p, live, 0, p.rows,
                             [other, factor](index_t, index_t e) { return T(factor * other[std::size_t(e)]); });
    }
};

MOE_END
