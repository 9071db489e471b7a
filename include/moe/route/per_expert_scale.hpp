// route: weight -> scale of its expert * weight, learned
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = scale[expert of s] * w[s]
//
// Source: Gemma 4; set by hand it is the gain of tunable experts (MoTE) and of reinforced cognitive experts (RICE): 0 turns
// an expert off without refilling its slot, above 1 amplifies it; a renormalize behind keeps the mixture convex.
// gradient      dw[s] = scale[e] dw'[s];  dscale[e] = sum over the routes s of e of w[s] dw'[s], in slot order
// parameters    scale [E], ones at first
// errors        value_error if there are not as many scales as experts
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <class T>
struct per_expert_scale {
    using role = route_step;
    static constexpr const char* name = "per_expert_scale";

    matrix<T> scale;  // [1,E]

    explicit per_expert_scale(index_t experts) : scale(1, experts) {
        std::fill(scale.span().begin(), scale.span().end(), T(1));
    }

    void check(const batch<T>&, index_t, index_t experts) const {
        if (scale.cols() == experts) return;
        throw_shape("per_expert_scale.scale", detail::shape_text(1, std::size_t(experts)), detail::shape_text(scale.view()));
    }

    template <class B>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, f = scale.data()](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const index_t e = r.expert[std::size_t(i)];
                if (e >= 0) weight[std::size_t(i)] *= f[e];
            }
        });
    }

    template <class B>
    void backward(B&, const routing<T>& before, const routing<T>&, adjoint<T>& d, per_expert_scale& g) const {
        for (std::size_t i = 0; i < d.weight.size(); ++i) {
            const index_t e = before.routes.expert[i];
            if (e < 0) continue;
            g.scale(0, e) += before.routes.weight[i] * d.weight[i];
            d.weight[i] *= scale(0, e);
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scale", p.scale...);
    }
};

MOE_END
