// select: keys [T,E] -> choice [T,E], all experts of every token
// SPDX-License-Identifier: Apache-2.0
//
// Source: dense mixtures (LoRAMoE, MoLE, MHR) and soft routing; k = E without ordering.
// order         slot e holds expert e; -inf is excluded (slot -1, weight 0)
// errors        none
// cost          O(T E)
// determinism   a pure function of which of the token's keys are -inf
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct dense {
    using role = selector_step;
    static constexpr const char* name = "dense";

    // Every expert that can be chosen; batch.k is not read.
    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        return std::int64_t{in.tokens()} * experts;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const index_t experts = s.keys.cols;
        for (index_t t = 0; t <= s.tokens(); ++t) c.offset[std::size_t(t)] = t * experts;
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys](index_t t) {
            index_t* expert = c.expert.data() + std::ptrdiff_t(t) * experts;
            for (index_t e = 0; e < experts; ++e) expert[e] = excluded(keys(t, e)) ? -1 : e;
        });
    }
};

MOE_END
