// route: weight -> sigmoid(weight), for the selected alone
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = 1 / (1 + exp(-w[s]))
//
// Source: Llama 4 (chosen by the logit, weighted by its sigmoid), Cohere2.
// edges         dead slots keep 0; NaN stays in its slot
// gradient      dw[s] = w'[s] (1 - w'[s]) dw'[s]
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct sigmoid_selected {
    using role = route_step;
    static constexpr const char* name = "sigmoid_selected";
    static constexpr bool non_negative = true;

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const std::size_t j = std::size_t(i);
                weight[j] = r.expert[j] < 0 ? T(0) : T(1) / (T(1) + std::exp(-weight[j]));
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [r = after.routes, d_weight = d.weight](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const T w = r.weight[std::size_t(i)];
                d_weight[std::size_t(i)] *= w * (T(1) - w);
            }
        });
    }
};

MOE_END
