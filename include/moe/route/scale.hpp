// route: weight -> factor * weight
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = factor * w[s]
//
// Source: the routed scaling factor of DeepSeek-V2 and V3 (2.5), Longcat (6), DeepSeek-V4 (1.5); placed behind renormalize
// it is not divided away. For every router with it: the shared experts are not scaled.
// gradient      dw[s] = factor * dw'[s]
// errors        value_error if the factor is not finite
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct scale {
    using role = route_step;
    static constexpr const char* name = "scale";

    double factor = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!std::isfinite(factor)) throw_value("scale.factor", "a finite number", std::to_string(factor));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        multiply(b, s, weight);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        multiply(b, before, d.weight);
    }

private:
    template <class B, class T>
    void multiply(B& b, const routing<T>& s, std::span<T> values) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, f = T(factor)](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) values[std::size_t(i)] *= f;
        });
    }
};

MOE_END
