// select: keys [T,E] -> choice [T,K], the K best experts of every token
// SPDX-License-Identifier: Apache-2.0
//
// Source: Shazeer et al. 2017 and nearly every router since.
// order         key descending, then lower expert; -inf is excluded (slot -1, weight 0); NaN ranks after every finite key
// slots         best expert first; K = batch.k if set, else k
// errors        value_error if K is negative or above the number of experts that can be chosen; never on NaN
// cost          O(T E K) at worst, no scratch
// determinism   a pure function of the bits of the token's keys: the same on every backend, thread count and batch
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct top_k {
    using role = selector_step;
    static constexpr const char* name = "top_k";
    static constexpr bool any_memory = true;

    index_t k = 1;  // routes per token

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (k < 1) throw_value("top_k.k", "at least 1", std::to_string(k));
    }

    template <class T>
    std::int64_t width(const batch<T>& in, index_t) const {
        return in.k != 0 ? in.k : k;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const index_t count = static_cast<index_t>(width(s.in(), s.experts));
        const matrix_view<const T> keys = s.keys;
        kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
            best_of_row(keys.row(t), keys.cols, c.expert.data() + std::ptrdiff_t(t) * count, count);
        });
    }
};

MOE_END
