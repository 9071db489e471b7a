// route: weight -> weight / p-norm of the token's weights
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = w[s] / (N + epsilon),   N = (sum over the token's live slots j of |w[j]|^p)^(1/p)
//
// Source: DBRX (moe_normalize_expert_weights = p).
// zero norm     the weights stay as they are: no NaN
// gradient      dw[s] = (dw'[s] - sign(w[s]) (|w[s]| / N)^(p-1) * sum over j of w'[j] dw'[j]) / (N + epsilon)
// errors        value_error if p is below 1 or not finite, or epsilon negative
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct p_norm {
    using role = route_step;
    static constexpr const char* name = "p_norm";

    double p = 2.0;
    double epsilon = 0.0;

    part_traits traits() const { return {.non_negative = true, .sums_to_one = p == 1.0 && epsilon == 0.0}; }

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(p >= 1.0 && std::isfinite(p))) throw_value("p_norm.p", "a finite number of at least 1", std::to_string(p));
        if (!(epsilon >= 0.0)) throw_value("p_norm.epsilon", "at least 0", std::to_string(epsilon));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, r = s.routes](index_t t) {
            const T by = norm(r, weight, t) + T(epsilon);
            if (by == T(0)) return;
            // A dead slot stays 0, also where the norm is NaN.
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                if (r.expert[std::size_t(i)] >= 0) weight[std::size_t(i)] /= by;
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [*this, r = before.routes, w = after.routes.weight,
                                                     d_weight = d.weight](index_t t) {
            const T length = norm(r, r.weight, t);
            if (length == T(0)) {
                if (epsilon == 0.0) return;
                for (index_t i = r.begin(t); i < r.end(t); ++i) d_weight[std::size_t(i)] /= T(epsilon);
                return;
            }
            T mean = T(0);
            for (index_t i = r.begin(t); i < r.end(t); ++i) mean += w[std::size_t(i)] * d_weight[std::size_t(i)];
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const T before_it = r.weight[std::size_t(i)];
                const T slope = std::copysign(std::pow(std::abs(before_it) / length, T(p) - T(1)), before_it);
                d_weight[std::size_t(i)] = (d_weight[std::size_t(i)] - slope * mean) / (length + T(epsilon));
            }
        });
    }

private:
    // Scaled by the largest, so that no power overflows. Dead slots have weight 0.
    template <class T, class W>
    MOE_FN T norm(const routes<T>& r, W weight, index_t t) const {
        T largest = T(0);
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            const T size = std::abs(weight[std::size_t(i)]);
            if (!(size <= largest)) largest = size;
        }
        if (largest == T(0)) return T(0);
        T sum = T(0);
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            sum += std::pow(std::abs(weight[std::size_t(i)]) / largest, T(p));
        }
        return largest * std::pow(sum, T(1) / T(p));
    }
};

MOE_END
