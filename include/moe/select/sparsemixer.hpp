// select: keys [T,E] -> choice [T,K], one expert per round among those close to the best; weighs with its own gradient
// SPDX-License-Identifier: Apache-2.0
//
//     round r, with z the scores of the experts not taken in an earlier round and m the largest of them:
//     kept      the experts with not (m - z[e]) / max(|z[e]|, m) > 2 epsilon
//     takes     the best expert; while training a draw from softmax(z of the kept)
//     weight    softmax(z of the kept) at the expert; while training times 1 if it is the best or u > 0.75, else 0.3333
//
// Weights are not renormalised: each is at most 1, and 1 where no rival is within the margin. z are the scores as they
// reach the selector: logits, if no score step stands before.
// Source: SparseMixer-v2 (Liu et al. 2024) as Phi-3.5-MoE has it (K = 2); UniMoE-Audio uses it with K rounds.
// order         core/order on the keys; -inf is excluded; NaN ranks last, and makes its round's weight NaN
// gradient      dz[e] = g w (1[e taken] - softmax[e]) for e kept, w without the factor 0.3333; nothing else
// noise         only while training; a pure function of (seed, step, global token, expert, round)
// replay        works on any given ids: an expert that was not kept has weight 0
// errors        value_error if k is below 1 or epsilon negative
// cost          O(T E K), no scratch
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct sparsemixer {
    using role = selector_step;
    static constexpr const char* name = "sparsemixer";
    static constexpr bool stochastic = true;
    static constexpr bool surrogate_gradient = true;

    index_t k = 2;
    double epsilon = 0.01;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (k < 1) throw_value("sparsemixer.k", "at least 1", std::to_string(k));
        if (!(epsilon >= 0.0)) throw_value("sparsemixer.epsilon", "at least 0", std::to_string(epsilon));
    }

    template <class T>
    std::int64_t width(const batch<T>& in, index_t) const {
        return in.k != 0 ? in.k : k;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const batch<T>& in = s.in();
        const index_t rounds = static_cast<index_t>(width(in, s.experts));
        const random_stream random(in.seed, stream_id("sparsemixer.choice"), in.step);
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, keys = s.keys, draws = in.training,
                                                first_token = in.first_token](index_t t) {
            index_t* taken = c.expert.data() + std::ptrdiff_t(t) * rounds;
            const std::uint64_t token = first_token + std::uint64_t(t);
            for (index_t r = 0; r < rounds; ++r) {
                const round_of<T> round{keys.row(t), keys.row(t), keys.cols, taken, r, T(2 * epsilon)};
                const index_t best = round.best();
                taken[r] = best;
                if (!draws || best < 0) continue;
                T largest = T(0);
                index_t chosen = -1;
                for (index_t e = 0; e < keys.cols; ++e) {
                    if (!round.kept(e, best)) continue;
                    const T noisy = keys(t, e) + T(random.gumbel(token, std::uint32_t(r * keys.cols + e)));
                    if (chosen >= 0 && !ranks_before(noisy, e, largest, chosen)) continue;
                    largest = noisy;
                    chosen = e;
                }
                taken[r] = chosen;
            }
        });
    }

    template <class B, class T>
    void weigh(B& b, const routing<T>& s, std::span<T> weight) const {
        const batch<T>& in = s.in();
        const random_stream random(in.seed, stream_id("sparsemixer.factor"), in.step);
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, scores = s.scores, keys = s.keys, routes = s.routes,
                                                draws = in.training, first_token = in.first_token](index_t t) {
            for (index_t i = routes.begin(t); i < routes.end(t); ++i) {
                const index_t r = i - routes.begin(t);
                const index_t e = routes.expert[std::size_t(i)];
                weight[std::size_t(i)] = T(0);
                if (e < 0) continue;
                const round_of<T> round{scores.row(t), keys.row(t), scores.cols,
                                        routes.expert.data() + routes.begin(t), r, T(2 * epsilon)};
                const index_t best = round.best();
                const bool whole = !draws || e == best ||
                                   random.uniform(first_token + std::uint64_t(t), std::uint32_t(r)) > 0.75;
                if (round.kept(e, best)) {
                    weight[std::size_t(i)] = round.share(e, best, round.total(best)) * (whole ? T(1) : T(0.3333));
                }
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, after.tokens(), [=, *this, scores = before.scores, keys = before.keys,
                                                    routes = after.routes, d_weight = d.weight,
                                                    d_scores = d.scores](index_t t) {
            for (index_t i = routes.begin(t); i < routes.end(t); ++i) {
                const index_t taken = routes.expert[std::size_t(i)];
                if (taken < 0) continue;
                const round_of<T> round{scores.row(t), keys.row(t), scores.cols,
                                        routes.expert.data() + routes.begin(t), i - routes.begin(t), T(2 * epsilon)};
                const index_t best = round.best();
                if (!round.kept(taken, best)) continue;
                const T total = round.total(best);
                const T g = d_weight[std::size_t(i)] * round.share(taken, best, total);
                for (index_t e = 0; e < scores.cols; ++e) {
                    if (round.kept(e, best)) d_scores(t, e) -= g * round.share(e, best, total);
                }
                d_scores(t, taken) += g;
            }
        });
    }

private:
    // One round of one token: what is still open, and what of it is close to the best.
    template <class T>
    struct round_of {
        const T* z;
        const T* key;
        index_t columns;
        const index_t* taken;  // in earlier rounds
        index_t rounds;
        T margin;

        MOE_FN bool open(index_t e) const {
            for (index_t r = 0; r < rounds; ++r) {
                if (taken[r] == e) return false;
            }
            return !excluded(key[e]) && !excluded(z[e]);
        }
        MOE_FN index_t best() const {
            index_t best = -1;
            for (index_t e = 0; e < columns; ++e) {
                if (open(e) && (best < 0 || ranks_before(z[e], e, z[best], best))) best = e;
            }
            return best;
        }
        MOE_FN bool kept(index_t e, index_t best) const {
            if (best < 0 || !open(e)) return false;
            const T m = z[best];
            const T size = std::abs(z[e]);
            return e == best || !((m - z[e]) / (size < m ? m : size) > margin);
        }
        MOE_FN T total(index_t best) const {
            T sum = T(0);
            for (index_t e = 0; e < columns; ++e) {
                if (kept(e, best)) sum += std::exp(z[e] - z[best]);
            }
            return sum;
        }
        MOE_FN T share(index_t e, index_t best, T total) const { return std::exp(z[e] - z[best]) / total; }
    };
};

MOE_END
