// route: routes to null experts are dropped
// SPDX-License-Identifier: Apache-2.0
//
//     expert[s] >= first becomes -1: the token spends the slot and gets nothing for it
//
// Source: AdaMoE 2024 (null experts behind the true ones, weights renormalised over the true ones), Zaya (skip expert).
// weights       a renormalize behind this step divides by the true experts' sum alone; in front of it, by all
// gradient      none through what is dropped; the scores of null experts still take part in a softmax
// errors        value_error if first is not within [0, E]
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct null_experts {
    using role = route_step;
    static constexpr const char* name = "null_experts";
    static constexpr bool expert_equivariant = false;

    index_t first = 0;  // this expert and all behind it are null

    template <class T>
    void check(const batch<T>&, index_t, index_t experts) const {
        if (first >= 0 && first <= experts) return;
        throw_value("null_experts.first", std::string("0 to ") + std::to_string(experts), std::to_string(first));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, begin = first](index_t t) {
            for (index_t i = c.offset[std::size_t(t)]; i < c.offset[std::size_t(t) + 1]; ++i) {
                if (c.expert[std::size_t(i)] >= begin) c.expert[std::size_t(i)] = -1;
            }
        });
    }
};

MOE_END
