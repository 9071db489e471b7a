// route: every expert keeps at most C routes, the others go to one more expert, behind the last
// SPDX-License-Identifier: Apache-2.0
//
// As capacity, but a route that does not fit gets the id E of an expert appended to the E of the router, with its weight:
// beside a bank whose last expert is the identity the token passes through, y[t] = w x[t].
//
//     moe::layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 1}, moe::capacity_pass{{.count = 64}}},
//                moe::banks{experts, moe::identity_bank<float>{...}}}
//
// Source: Switch as first published in transformers (dropped tokens are multiplied by p and passed on).
// weights       a token has one route to the appended expert: further ones that do not fit add their weight to it
// gradient      dw'[the appended route] for each of the routes it stands for
// causal, cost, errors: as capacity
#pragma once

#include "moe/core/roles.hpp"
#include "moe/route/capacity_rules.hpp"

MOE_BEGIN

struct capacity_pass {
    using role = route_step;
    static constexpr const char* name = "capacity_pass";

    capacity_options options = {};

    // One expert more than in front of this step.
    index_t experts(index_t before) const { return before + 1; }

    part_traits traits() const { return detail::capacity_traits(options); }

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        detail::check_capacity("capacity_pass", options);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, routes_view<T> r) const {
        const auto kept = detail::within_capacity(b, s, r.offset, r.expert, r.weight, options);
        kernels_of<B>::for_rows(b, s.tokens(), [=, appended = s.experts](index_t t) {
            index_t passed = -1;
            for (index_t i = r.offset[std::size_t(t)]; i < r.offset[std::size_t(t) + 1]; ++i) {
                const std::size_t j = std::size_t(i);
                if (r.expert[j] < 0 || kept.fits[j] != 0) continue;
                if (passed >= 0) r.weight[std::size_t(passed)] += r.weight[j];
                r.expert[j] = passed < 0 ? appended : -1;
                if (passed < 0) passed = i;
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [was = before.routes, is = after.routes, d_weight = d.weight,
                                                     appended = before.experts](index_t t) {
            T passed = T(0);
            for (index_t i = is.begin(t); i < is.end(t); ++i) {
                const std::size_t j = std::size_t(i);
                if (is.expert[j] == appended) passed = d_weight[j];
                else if (was.expert[j] >= 0 && is.expert[j] < 0) d_weight[j] = passed;
            }
        });
    }
};

MOE_END
