// route: weight -> c * weight, c a learned number
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = c * w[s]
//
// Source: Inkling (global scale), UniPool (the learned part of NormRouter's scale).
// gradient      dw[s] = c dw'[s];  dc = sum over s of w[s] dw'[s], in slot order
// parameters    scale (1 number)
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <class T>
struct learned_weight_scale {
    using role = route_step;
    static constexpr const char* name = "learned_weight_scale";

    T factor = T(1);

    template <class B>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, f = factor](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                if (r.expert[std::size_t(i)] >= 0) weight[std::size_t(i)] *= f;
            }
        });
    }

    template <class B>
    void backward(B&, const routing<T>& before, const routing<T>&, adjoint<T>& d, learned_weight_scale& g) const {
        for (std::size_t i = 0; i < d.weight.size(); ++i) {
            g.factor += before.routes.weight[i] * d.weight[i];
            d.weight[i] *= factor;
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scale", p.factor...);
    }
};

MOE_END
