// select: keys [T,E] -> ragged choice, the best (token, expert) pairs of the whole batch
// SPDX-License-Identifier: Apache-2.0
//
//     the K best of all pairs of live tokens, K = round(experts_per_token * live tokens) (batch.k per token where set),
//     half to even, at most the number of pairs
//
// Source: Expert Race 2025. A token gets 0 to E experts, an expert 0 to T tokens.
// order         of pairs: key descending, then lower token, then lower expert; a token's slots in ascending expert
// ties          exactly K pairs are taken; with keep_ties all that equal the last one as well
// excluded      -inf is never taken; NaN ranks after every finite key
// masked        never taken, not counted
// inference     a race needs a batch: alone, a token takes what reaches `threshold`, fed by the controller ema_threshold
// causal        no
// errors        value_error if experts_per_token is negative; shape_error if T * E is above 2^31-1
// cost          O(T E), scratch T E indices
// determinism   a pure function of the bits of the batch's keys
#pragma once

#include <algorithm>
#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/select/ragged.hpp"

MOE_BEGIN

struct global_top {
    using role = selector_step;
    static constexpr const char* name = "global_top";
    static constexpr bool causal = false;

    double experts_per_token = 1.0;
    bool keep_ties = false;

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        if (!(experts_per_token >= 0.0)) {
            throw_value("global_top.experts_per_token", "at least 0", std::to_string(experts_per_token));
        }
        const std::int64_t pairs = std::int64_t{in.tokens()} * columns;
        if (pairs > 2147483647) throw_shape("global_top: tokens * experts", "at most 2147483647", std::to_string(pairs));
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        const std::int64_t pairs = std::int64_t{in.tokens()} * experts;
        return keep_ties ? pairs : std::min(pairs, wanted(in, in.tokens()));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const matrix_view<const T> keys = s.keys;
        const index_t experts = keys.cols;
        const std::span<index_t> pair = b.scratch().template take<index_t>(std::size_t(s.tokens()) * std::size_t(experts));
        index_t live = 0;
        std::ptrdiff_t pairs = 0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (!s.in().live(t)) continue;
            ++live;
            for (index_t e = 0; e < experts; ++e) {
                if (!excluded(keys(t, e))) pair[std::size_t(pairs++)] = t * experts + e;
            }
        }
        const auto key = [=](index_t i) { return keys(i / experts, i % experts); };
        const auto before = [=](index_t i, index_t j) { return ranks_before(key(i), i, key(j), j); };
        index_t* const all = pair.data() + pairs;
        index_t* end = pair.data() + std::min<std::int64_t>(pairs, wanted(s.in(), live));
        if (end != all) std::nth_element(pair.data(), end, all, before);
        if (keep_ties && end != pair.data()) {
            const T last = key(*std::max_element(pair.data(), end, before));
            end = std::partition(end, all, [=](index_t i) { return key(i) == last; });
        }
        std::sort(pair.data(), end);
        detail::group_by_token(c, s.tokens(), [&](const auto& visit) {
            for (const index_t* i = pair.data(); i != end; ++i) visit(*i / experts, *i % experts);
        });
    }

private:
    template <class T>
    std::int64_t wanted(const batch<T>& in, index_t live) const {
        const double each = in.k != 0 ? double(in.k) : experts_per_token;
        return live == 0 ? 0 : static_cast<std::int64_t>(std::min(std::nearbyint(each * live), 9e18));
    }
};

MOE_END
