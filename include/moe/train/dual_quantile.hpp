// train/balance: scores -> selection bias, the dual prices that make an even load
// SPDX-License-Identifier: Apache-2.0
//
// Choose K experts per token so that no expert has more than cap = floor(K tokens / E) tokens: the prices q [E] of the
// experts and p [T] of the tokens of that linear program, by alternation, starting from the q of the last batch:
//
//     p[t] = (K+1)-th largest over e of s[t][e] - q[e]          q[e] = (cap+1)-th largest over t of s[t][e] - p[t]
//
// Selection is then by s - q: what is written is bias = -q for the key step selection_bias. Weights never contain q.
// clip          both prices are at least 0: inequality constraints, only busy experts pay (BIP). Without: equality
//               constraints, idle experts are lifted too (quantile balancing)
// midpoint      q[e] is the middle between the cap-th and the (cap+1)-th value: the cap-th token stands clear of the threshold
// causality     updating before the forward that selects lets later tokens price earlier ones; update behind it
// Source: BIP-based balancing (2025, from notes). K >= E has p = 0 (there is no (K+1)-th), cap >= tokens has q = 0 with clip
// and leaves q as it is without. Masked tokens take no part. NaN ranks last. No live token: the bias stays.
// errors        K below 1, rounds below 1, a bias that has not one entry per column
// cost          O(rounds T E K) at worst, scratch 2 [T,E]
#pragma once

#include <algorithm>

#include "moe/core/order.hpp"
#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct dual_quantile {
    static constexpr const char* name = "dual_quantile";

    index_t k = 1;
    index_t rounds = 4;  // alternations per update
    bool clip = true;
    bool midpoint = false;

    // From the scores of a forward.
    template <class B, class T>
    void update(B& b, std::span<float> bias, const routing<T>& s) const {
        require_host_readable<B>();
        check(bias, s.scores.cols);
        const detail::token_filter live = detail::live_tokens(s.in());
        const index_t tokens = live.count(0, s.tokens());
        if (tokens == 0) return;
        arena_frame frame(b.scratch());
        const index_t experts = s.scores.cols;
        const std::int64_t cap = std::int64_t{k} * tokens / experts;
        const std::span<T> price = b.scratch().template take<T>(std::size_t(s.tokens()));
        const std::span<T> q = b.scratch().template take<T>(std::size_t(experts));
        const matrix_view<T> column = b.scratch().template take<T>(experts, s.tokens());
        const matrix_view<index_t> best = b.scratch().template take<index_t>(s.tokens(), std::min(k, experts - 1) + 1);
        const matrix_view<T> key = b.scratch().template take<T>(s.tokens(), experts);
        for (std::size_t e = 0; e < q.size(); ++e) q[e] = -static_cast<T>(bias[e]);
        for (index_t round = 0; round < rounds; ++round) {
            kernels_of<B>::for_rows(b, s.tokens(), [=, scores = s.scores, wide = k < experts, low = clip](index_t t) {
                for (index_t e = 0; e < experts; ++e) key(t, e) = scores(t, e) - q[std::size_t(e)];
                if (wide) best_of_row(key.row(t), experts, best.row(t), best.cols);
                const index_t next = wide ? best(t, best.cols - 1) : -1;
                const T p = next < 0 ? T(0) : key(t, next);
                price[std::size_t(t)] = low && p < T(0) ? T(0) : p;
            });
            kernels_of<B>::for_rows(b, experts, [=, scores = s.scores, self = *this](index_t e) {
                index_t n = 0;
                for (index_t t = 0; t < scores.rows; ++t) {
                    if (live(t)) column(e, n++) = scores(t, e) - price[std::size_t(t)];
                }
                q[std::size_t(e)] = self.quantile(column.row(e), n, cap, q[std::size_t(e)]);
            });
        }
        for (std::size_t e = 0; e < q.size(); ++e) bias[e] = -static_cast<float>(q[e]);
    }
    template <class B, class T>
    void update(B& b, buffer<float>& bias, const routing<T>& s) const {
        update(b, bias.span(), s);
    }

private:
    void check(std::span<float> bias, index_t columns) const {
        if (k < 1) throw_value("dual_quantile.k", "at least 1", std::to_string(k));
        if (rounds < 1) throw_value("dual_quantile.rounds", "at least 1", std::to_string(rounds));
        detail::require_size("dual_quantile: bias", bias, static_cast<std::size_t>(columns));
    }

    // The (cap+1)-th largest of n values, which it reorders.
    template <class T>
    T quantile(T* v, index_t n, std::int64_t cap, T before) const {
        if (cap >= n) return clip ? T(0) : before;
        const auto higher = [](T a, T b) { return ranks_before(a, 0, b, 0); };
        std::nth_element(v, v + cap, v + n, higher);
        T at = v[cap];
        if (midpoint && cap > 0) at = T(0.5) * (at + *std::min_element(v, v + cap));
        return clip && at < T(0) ? T(0) : at;
    }
};

MOE_END
