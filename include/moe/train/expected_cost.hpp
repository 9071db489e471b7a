// train/loss: routing of a tape -> expected cost of a token's experts, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * mean over live tokens t of sum over e of cost[e] P[t][e]
//
// Cheap experts are preferred: cost is bits of a width, parameters or time, of any sign. Source: D2MoE 2025 (bits of the
// widths of one expert, P the softmax of its bit router); the soft form of a compute budget. mean of cost at balance.
// edges         no live token: 0
// gradient      dL/dP[t][e] = coefficient * cost[e] / tokens, then as `from` says
// errors        columns other than experts (product keys); cost of another size or not finite; a coefficient that is not
//               finite
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct expected_cost {
    static constexpr const char* name = "expected_cost";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    std::span<const double> cost = {};  // [E], which outlives the call

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("expected_cost.coefficient", coefficient);
        detail::require_columns(name, s, from);
        detail::require_size("expected_cost.cost", cost, std::size_t(detail::loss_experts(s)));
        for (const double c : cost) detail::require_finite("expected_cost.cost", c);
        const detail::token_filter counts = detail::live_tokens(s.in());
        const index_t tokens = counts.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const double sum = detail::token_sum(b, p.rows, counts, [p, costs = cost](index_t t) {
            double of_token = 0.0;
            for (index_t e = 0; e < p.cols; ++e) of_token += costs[std::size_t(e)] * static_cast<double>(p(t, e));
            return of_token;
        });
        detail::add_gradient(b, tape, from, p, counts, 0, p.rows, detail::per_expert<T>{cost, coefficient / tokens});
        return coefficient * sum / tokens;
    }
};

MOE_END
