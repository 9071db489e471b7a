// train/loss: logits of a tape and the router's noise -> load loss, gradient added to tape.d.logits
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * CV2(N),   N[e] = sum over live tokens t of Phi((z[t][e] - limit[t][e]) / sigma)
//     z = clean logits, Phi = normal distribution function, limit = the K-th largest noisy logit,
//     of the other experts (others: Shazeer et al. 2017, T2MIR) or of all (kth: V-MoE, LIMoE)
//
// N[e] is the smooth count of tokens that would pick e under fresh noise. `noise` is the router's own gaussian_noise step,
// which stands directly behind the gate: the loss draws the same numbers again. Where nothing is drawn (not training, or
// sigma 0) or K >= E, N counts the K best logits and there is no gradient. 0 at balance, E for one expert with everything.
// gradient      to z of the expert and of the one that sets its limit; the noise and sigma are constants
// edges         an excluded logit (-inf) has N = 0; with fewer than K rivals an expert has N = 1
// errors        K below 1; columns other than experts; a coefficient that is not finite
// cost          O(T E K), scratch 2 [T,E] and [T,K+1]
#pragma once

#include "moe/core/order.hpp"
#include "moe/score/gaussian_noise.hpp"
#include "moe/train/probabilities.hpp"
#include "moe/train/squared_cv.hpp"

MOE_BEGIN

enum class load_threshold { others, kth };

struct load_cv2 {
    static constexpr const char* name = "load_cv2";
    static constexpr bool stochastic = true;

    double coefficient = 1.0;
    index_t k = 1;
    gaussian_noise noise = {};
    load_threshold threshold = load_threshold::others;

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        check(s);
        const detail::token_filter live = detail::live_tokens(s.in());
        if (live.count(0, s.tokens()) == 0) return 0.0;
        arena_frame frame(b.scratch());
        const work<T> w = take(b, s);
        noise.forward(b, s, w.distance);
        const std::span<double> load = b.scratch().template take<double>(std::size_t(detail::loss_experts(s)));
        kernels_of<B>::for_rows(b, s.tokens(), [w, z = s.logits](index_t t) { w.fill(z, t); });
        detail::column_sums(b, matrix_view<const T>(w.chance), live, 0, s.tokens(), load);
        const double value = detail::squared_cv(load);
        if (w.smooth) {
            kernels_of<B>::for_rows(b, s.tokens(), [w, live, load, d = tape.d.logits, c = coefficient](index_t t) {
                if (live(t)) w.add_gradient(load, c, d, t);
            });
        }
        return coefficient * value;
    }

private:
    template <class T>
    struct work {
        matrix_view<T> chance;      // [T,E] Phi(distance)
        matrix_view<T> distance;    // [T,E] noisy logits first, then (z - limit) / sigma
        matrix_view<index_t> best;  // [T,K+1] of the noisy logits
        index_t k;
        bool smooth, others;
        T sigma;

        // The expert whose noisy logit is the limit of expert e; -1: fewer rivals than slots.
        MOE_FN index_t limit_of(index_t t, index_t e) const {
            if (!others) return best(t, k - 1);
            for (index_t i = 0; i < k; ++i) {
                if (best(t, i) == e) return best(t, k);
            }
            return best(t, k - 1);
        }

        MOE_FN void fill(matrix_view<const T> z, index_t t) const {
            best_of_row(distance.row(t), z.cols, best.row(t), best.cols);
            if (!smooth) {
                for (index_t e = 0; e < z.cols; ++e) chance(t, e) = T(0);
                for (index_t i = 0; i < k && i < best.cols; ++i) {
                    if (best(t, i) >= 0) chance(t, best(t, i)) = T(1);
                }
                return;
            }
            const index_t last = best(t, k - 1), next = best(t, k);
            const T at_last = last < 0 ? T(0) : distance(t, last), at_next = next < 0 ? T(0) : distance(t, next);
            for (index_t e = 0; e < z.cols; ++e) {
                const index_t j = limit_of(t, e);
                const T unbounded = std::numeric_limits<T>::infinity();
                if (excluded(z(t, e))) distance(t, e) = -unbounded;
                else if (j < 0) distance(t, e) = unbounded;
                else distance(t, e) = (z(t, e) - (j == last ? at_last : at_next)) / sigma;
                chance(t, e) = T(0.5) * std::erfc(-distance(t, e) * T(0.70710678118654752));
            }
        }

        MOE_FN void add_gradient(std::span<const double> d_load, double factor, matrix_view<T> d, index_t t) const {
            for (index_t e = 0; e < d.cols; ++e) {
                const index_t j = limit_of(t, e);
                if (j < 0) continue;
                const T u = distance(t, e);
                const T density = T(0.39894228040143268) * std::exp(T(-0.5) * u * u);
                const T g = T(factor * d_load[std::size_t(e)]) * density / sigma;
                d(t, e) += g;
                d(t, j) -= g;
            }
        }
    };

    template <class T>
    void check(const routing<T>& s) const {
        detail::require_finite("load_cv2.coefficient", coefficient);
        detail::require_columns(name, s, probabilities::scores);
        if (k < 1) throw_value("load_cv2.k", "at least 1", std::to_string(k));
        noise.check(s.in(), detail::loss_experts(s), detail::loss_experts(s));
    }

    template <class B, class T>
    work<T> take(B& b, const routing<T>& s) const {
        arena& a = b.scratch();
        const index_t experts = detail::loss_experts(s);
        const bool smooth = s.in().training && noise.sigma > 0.0 && k < experts;
        const index_t width = k < experts ? k + 1 : experts;
        const work<T> w{a.take<T>(s.tokens(), experts),
                        a.take<T>(s.tokens(), experts),
                        a.take<index_t>(s.tokens(), width),
                        k,
                        smooth,
                        threshold == load_threshold::others,
                        T(noise.sigma)};
        kernels_of<B>::copy(b, s.logits, w.distance);
        return w;
    }
};

MOE_END
