// train/loss: routing and plan of a tape -> router similarity loss, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     S = P^T P,   M = counts of live tokens that have both experts i and j (i = i: that have i)
//     W[i][i] = E * M[i][i] / sum of the diagonal,   W[i][j] = (E^2 - E) * M[i][j] / sum off the diagonal (0 if that is 0)
//     L = coefficient / tokens * sum over i, j of W[i][j] S[i][j]
//
// Lowers the similarity of experts that are often chosen together. W is a constant. Source: Expert Race (two public
// re-implementations differ; this one divides by tokens and normalises diagonal and rest apart).
// At balance with K = 1: 1/E for even probabilities, 1 for one-hot ones. No live token or no route: 0.
// gradient      dL/dP = coefficient * 2 / tokens * P W, then as `from` says
// errors        columns other than experts (product keys); a coefficient that is not finite
// cost          O(T E^2), scratch [E,E]
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct router_similarity {
    static constexpr const char* name = "router_similarity";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("router_similarity.coefficient", coefficient);
        detail::require_columns(name, s, from);
        const detail::token_filter live = detail::live_tokens(s.in());
        const index_t tokens = live.count(0, s.tokens());
        if (tokens == 0 || tape.plan().rows() == 0) return 0.0;
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const matrix_view<double> w = b.scratch().template take<double>(detail::loss_experts(s), detail::loss_experts(s));
        count_pairs(b, tape, w);
        normalise(w);
        const double sum = weighted_similarity(b, p, live, w);
        const matrix_view<T> d = b.scratch().template take<T>(p.rows, p.cols);
        kernels_of<B>::for_rows(b, p.rows, [=, c = 2.0 * coefficient / tokens](index_t t) {
            for (index_t j = 0; j < p.cols; ++j) {
                double v = 0.0;
                for (index_t i = 0; i < p.cols; ++i) v += static_cast<double>(p(t, i)) * w(i, j);
                d(t, j) = T(c * v);
            }
        });
        detail::add_gradient(b, tape, from, p, live, 0, p.rows, [d](index_t t, index_t e) { return d(t, e); });
        return coefficient * sum / tokens;
    }

private:
    template <class B, class T>
    static void count_pairs(B& b, const tape<T>& tape, matrix_view<double> m) {
        kernels_of<B>::for_rows(b, m.rows, [m, plan = tape.plan(), expert = tape.routing().routes.expert](index_t i) {
            for (index_t j = 0; j < m.cols; ++j) m(i, j) = 0.0;
            for (index_t r = plan.begin(i); r < plan.end(i); ++r) {
                const std::size_t t = std::size_t(plan.token[std::size_t(r)]);
                for (index_t q = plan.token_offset[t]; q < plan.token_offset[t + 1]; ++q) {
                    const index_t other = expert[std::size_t(plan.slot[std::size_t(plan.token_row[std::size_t(q)])])];
                    if (other < m.cols) m(i, other) += 1.0;
                }
            }
        });
    }

    static void normalise(matrix_view<double> m) {
        const double n = static_cast<double>(m.rows);
        double diagonal = 0.0;
        double rest = 0.0;
        for (index_t i = 0; i < m.rows; ++i) {
            for (index_t j = 0; j < m.cols; ++j) (i == j ? diagonal : rest) += m(i, j);
        }
        for (index_t i = 0; i < m.rows; ++i) {
            for (index_t j = 0; j < m.cols; ++j) {
                if (i == j) m(i, j) *= diagonal > 0.0 ? n / diagonal : 0.0;
                else m(i, j) *= rest > 0.0 ? (n * n - n) / rest : 0.0;
            }
        }
    }

    // sum of W[i][j] S[i][j], row by row of S.
    template <class B, class T>
    static double weighted_similarity(B& b, matrix_view<const T> p, const detail::token_filter& live,
                                      matrix_view<const double> w) {
        const std::span<double> rows = b.scratch().template take<double>(std::size_t(p.cols));
        kernels_of<B>::for_rows(b, p.cols, [=](index_t i) {
            double sum = 0.0;
            for (index_t t = 0; t < p.rows; ++t) {
                if (!live(t)) continue;
                double v = 0.0;
                for (index_t j = 0; j < p.cols; ++j) v += w(i, j) * static_cast<double>(p(t, j));
                sum += v * static_cast<double>(p(t, i));
            }
            rows[std::size_t(i)] = sum;
        });
        double sum = 0.0;
        for (const double v : rows) sum += v;
        return sum;
    }
};

MOE_END
