// route: weight -> weight / (sum of the token's weights + epsilon)
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = w[s] / (sum over the token's live slots of w + epsilon)
//
// Source: Mixtral, Qwen, DeepSeek-V3 (epsilon 1e-20).
// zero sum      if sum + epsilon is 0 the weights stay as they are, 0 for scores that underflowed: no NaN
// gradient      dw[s] = (dw'[s] - sum over j of w'[j] dw'[j]) / (sum + epsilon)
// note          with K = 1 and epsilon 0 the weight is always 1 and the gate gets no gradient through it
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct renormalize {
    using role = route_step;
    static constexpr const char* name = "renormalize";

    double epsilon = 0.0;  // added to the sum

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(epsilon >= 0.0)) throw_value("renormalize.epsilon", "at least 0", std::to_string(epsilon));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, e = T(epsilon)](index_t t) {
            const T divisor = sum(r, weight, t) + e;
            if (divisor == T(0)) return;
            for (index_t i = r.begin(t); i < r.end(t); ++i) weight[std::size_t(i)] /= divisor;
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [r = before.routes, w = after.routes.weight, d_weight = d.weight,
                                                     e = T(epsilon)](index_t t) {
            const T divisor = sum(r, r.weight, t) + e;
            if (divisor == T(0)) return;
            T mean = T(0);
            for (index_t i = r.begin(t); i < r.end(t); ++i) mean += w[std::size_t(i)] * d_weight[std::size_t(i)];
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                d_weight[std::size_t(i)] = (d_weight[std::size_t(i)] - mean) / divisor;
            }
        });
    }

private:
    // Dead slots have weight 0.
    template <class R, class W>
    MOE_FN static auto sum(const R& routes, W weight, index_t t) {
        typename W::value_type total = 0;
        for (index_t i = routes.begin(t); i < routes.end(t); ++i) total += weight[std::size_t(i)];
        return total;
    }
};

MOE_END
