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

namespace detail {

template <class B, class T>
void multiply_slots(B& b, const routes<T>& r, std::span<T> values, T factor) {
    kernels_of<B>::for_rows(b, static_cast<index_t>(r.offset.size()) - 1, [=] MOE_ROW(index_t t) {
        for (index_t i = r.begin(t); i < r.end(t); ++i) values[std::size_t(i)] *= factor;
    });
}

}  // namespace detail

struct scale {
    using role = route_step;
    static constexpr const char* name = "scale";
    static constexpr bool any_memory = true;

    double factor = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!std::isfinite(factor)) throw_value("scale.factor", "a finite number", std::to_string(factor));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        detail::multiply_slots(b, s.routes, weight, T(factor));
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        detail::multiply_slots(b, before.routes, d.weight, T(factor));
    }

};

MOE_END
