// route: the weight of every live route becomes a constant
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = value
//
// Source: UoE, AdaptDHM, BiFormer (1, the default: unit weights), ReMix (2 / (k r)), NLLB's "all experts alike".
// gradient      none: the router learns through losses alone
// errors        value_error if the value is not finite
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct constant_weights {
    using role = route_step;
    static constexpr const char* name = "constant_weights";

    double value = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!std::isfinite(value)) throw_value("constant_weights.value", "a finite number", std::to_string(value));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, v = T(value)](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                weight[std::size_t(i)] = r.expert[std::size_t(i)] < 0 ? T(0) : v;
            }
        });
    }

    template <class B, class T>
    void backward(B&, const routing<T>&, const routing<T>&, adjoint<T>& d) const {
        std::fill(d.weight.begin(), d.weight.end(), T(0));
    }
};

MOE_END
