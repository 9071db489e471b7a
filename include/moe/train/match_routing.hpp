// train/loss: routing of a tape and a given routing -> distance from it, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * mean over live tokens t of D(Q[t], P[t]),   Q [T,E] is given and constant
//     target_to_router   D = sum q ln(q / p)      distillation, cross entropy up to a constant
//     router_to_target   D = sum p ln(p / q)      FactorLLM; p and q are clipped to at least 1e-7
//     squared            D = sum (p - q)^2        RoMA, PMOE's frequency loss
//
// 0 where P equals Q (both divergences for rows that sum to 1). Q needs not be a distribution: rows of zeros give 0 in the
// first form. No live token: 0.
// gradient      dL/dP = -q/p, ln(p/q) + 1, 2 (p - q), times coefficient / tokens, then as `from` says. target_to_router from
//               the logits is computed there, p * sum q - q, and stays right where p underflows
// errors        a target of another shape; columns other than experts; a coefficient that is not finite
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

enum class routing_distance { target_to_router, router_to_target, squared };

struct match_routing {
    static constexpr const char* name = "match_routing";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    routing_distance distance = routing_distance::target_to_router;
    index_t label = -1;  // only tokens with this label; -1: all

    template <class B, class T>
    double operator()(B& b, tape<T>& tape, input_view<T> target) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("match_routing.coefficient", coefficient);
        detail::require_columns(name, s, from);
        detail::require_shape("match_routing: target", target, s.tokens(), detail::loss_experts(s));
        const detail::token_filter counts = detail::live_tokens(s.in(), name, label);
        const index_t tokens = counts.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const T c = T(coefficient / tokens);
        if (distance == routing_distance::target_to_router && from == probabilities::softmax_of_logits) {
            return coefficient / tokens * match_logits(b, tape, target, p, counts, c);
        }
        const double sum = detail::token_sum(b, p.rows, counts, [p, target, kind = distance](index_t t) {
            T total = T(0);
            for (index_t e = 0; e < p.cols; ++e) total += term(kind, p(t, e), target(t, e));
            return static_cast<double>(total);
        });
        detail::add_gradient(b, tape, from, p, counts, 0, p.rows, [p, target, c, kind = distance](index_t t, index_t e) {
            return c * slope(kind, p(t, e), target(t, e));
        });
        return coefficient * sum / tokens;
    }

private:
    template <class T>
    MOE_FN static T at_least(T v, double floor) {
        return v < T(floor) ? T(floor) : v;
    }

    template <class T>
    MOE_FN static T term(routing_distance kind, T p, T q) {
        if (kind == routing_distance::squared) return (p - q) * (p - q);
        if (kind == routing_distance::target_to_router) return q == T(0) ? T(0) : q * std::log(q / at_least(p, 1e-30));
        return p * std::log(at_least(p, 1e-7) / at_least(q, 1e-7));
    }

    template <class T>
    MOE_FN static T slope(routing_distance kind, T p, T q) {
        if (kind == routing_distance::squared) return T(2) * (p - q);
        if (kind == routing_distance::target_to_router) return q == T(0) ? T(0) : -q / at_least(p, 1e-30);
        return std::log(at_least(p, 1e-7) / at_least(q, 1e-7)) + (p < T(1e-7) ? T(0) : T(1));
    }

    // sum over tokens of sum q (ln q - ln p) with ln p = z - lse(z).
    template <class B, class T>
    static double match_logits(B& b, tape<T>& tape, matrix_view<const T> q, matrix_view<const T> p,
                               const detail::token_filter& counts, T c) {
        const matrix_view<const T> z = tape.routing().logits;
        kernels_of<B>::for_rows(b, p.rows, [=, d = tape.d.logits](index_t t) {
            if (!counts(t)) return;
            const T mass = detail::row_sum(q.row(t), q.cols);
            for (index_t e = 0; e < p.cols; ++e) d(t, e) += c * (p(t, e) * mass - q(t, e));
        });
        return detail::token_sum(b, p.rows, counts, [=](index_t t) {
            index_t top = 0;
            for (index_t e = 1; e < p.cols; ++e) top = p(t, e) > p(t, top) ? e : top;
            const T lse = z(t, top) - std::log(p(t, top));
            T total = T(0);
            for (index_t e = 0; e < p.cols; ++e) {
                if (q(t, e) != T(0)) total += q(t, e) * (std::log(q(t, e)) - (z(t, e) - lse));
            }
            return static_cast<double>(total);
        });
    }
};

MOE_END
