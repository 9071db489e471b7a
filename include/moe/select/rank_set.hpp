// select: keys [T,E] -> choice [T,n], the experts at given ranks of every token
// SPDX-License-Identifier: Apache-2.0
//
// Rank 0 is the best expert. rank_set{{0, 1, ..., k - 1}} chooses as top_k{.k = k}.
// Source: SCMoE 2024 (the strong pass takes ranks 0 and 1, the weak one a deeper rank).
// order         of core/order; slots in the order of `ranks`; a rank behind the last that may be chosen gives -1
// errors        value_error if a rank is negative, not below E or given twice
// cost          O(T E r), r the deepest rank + 1; scratch T r indices
// determinism   a pure function of the bits of the token's keys
#pragma once

#include <algorithm>
#include <vector>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct rank_set {
    using role = selector_step;
    static constexpr const char* name = "rank_set";

    std::vector<index_t> ranks;

    // Without a gap from the best on, a better rank is chosen as well.
    part_traits traits() const {
        const auto last = std::max_element(ranks.begin(), ranks.end());
        return {.monotone = last == ranks.end() || static_cast<std::size_t>(*last) + 1 == ranks.size()};
    }

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            const bool twice = std::find(ranks.begin(), ranks.begin() + std::ptrdiff_t(i), ranks[i]) !=
                               ranks.begin() + std::ptrdiff_t(i);
            if (ranks[i] >= 0 && ranks[i] < columns && !twice) continue;
            throw_value(std::string("rank_set.ranks[") + std::to_string(i) + "]",
                        twice ? "a rank that is not given yet" : std::string("0 to ") + std::to_string(columns - 1),
                        std::to_string(ranks[i]));
        }
    }

    template <class T>
    std::int64_t width(const batch<T>&, index_t) const {
        return static_cast<std::int64_t>(ranks.size());
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        index_t depth = 0;
        for (const index_t r : ranks) depth = std::max(depth, r + 1);
        const matrix_view<index_t> best = b.scratch().template take<index_t>(s.tokens(), depth);
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys, wanted = std::span(ranks)](index_t t) {
            best_of_row(keys.row(t), keys.cols, best.row(t), depth);
            index_t* slot = c.expert.data() + std::ptrdiff_t(t) * std::ptrdiff_t(wanted.size());
            for (const index_t r : wanted) *slot++ = best(t, r);
        });
    }
};

MOE_END
