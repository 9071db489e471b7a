// select: keys [T,E] -> ragged choice, every expert takes its C best tokens
// SPDX-License-Identifier: Apache-2.0
//
//     C = clamp(max(min_capacity, round(capacity_factor * n / E)), 0, n),   n live tokens of the batch or the sequence
//
// round is down unless said otherwise; capacity_factor is the mean number of experts per token (batch.k where set); a
// `capacity` given outright replaces the formula.
// Source: Zhou et al. 2022 (over the batch); ProMoE and EC-DLM 2025 (per sequence).
// order         of tokens for an expert: key descending, then lower token; a token's slots in ascending expert
// excluded      a key of -inf is never taken, even if an expert stays below C; NaN ranks after every finite key
// masked        never taken, not counted in n
// number        a token gets 0 to E experts
// causal        no: what a token gets depends on every other token of its batch or sequence
// errors        value_error for a negative capacity or factor
// cost          O(T E log C), scratch E * C + sequences * E indices
// determinism   a pure function of the bits of the keys of the batch or sequence
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/capacity.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/select/ragged.hpp"

MOE_BEGIN

struct expert_choice {
    using role = selector_step;
    static constexpr const char* name = "expert_choice";
    static constexpr bool causal = false;

    double capacity_factor = 1.0;
    std::optional<index_t> capacity = std::nullopt;
    index_t min_capacity = 1;
    rounding round = rounding::down;
    bool per_sequence = false;  // C tokens of every sequence instead of the whole batch

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (capacity && *capacity < 0) throw_value("expert_choice.capacity", "at least 0", std::to_string(*capacity));
        if (!(capacity_factor >= 0.0)) {
            throw_value("expert_choice.capacity_factor", "at least 0", std::to_string(capacity_factor));
        }
        if (min_capacity < 0) throw_value("expert_choice.min_capacity", "at least 0", std::to_string(min_capacity));
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        std::int64_t total = 0;
        for (index_t g = 0; g < groups(in); ++g) total += std::int64_t{capacity_of(in, g, experts)} * experts;
        return total;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const batch<T>& in = s.in();
        const index_t experts = s.keys.cols;
        // Expert e of group g has room for room[g] tokens from best[start[g] + e * room[g]] on, and took[g * E + e].
        const std::size_t n = std::size_t(groups(in));
        const std::span<std::size_t> start = b.scratch().template take<std::size_t>(n + 1);
        const std::span<index_t> room = b.scratch().template take<index_t>(n);
        const std::span<index_t> took = b.scratch().template take<index_t>(n * std::size_t(experts));
        start[0] = 0;
        for (std::size_t g = 0; g < n; ++g) {
            room[g] = capacity_of(in, index_t(g), experts);
            start[g + 1] = start[g] + std::size_t(room[g]) * std::size_t(experts);
        }
        const std::span<index_t> best = b.scratch().template take<index_t>(start[n]);
        const index_t whole[2] = {0, in.tokens()};
        const std::span<const index_t> cut = per_sequence && !in.sequence.empty() ? in.sequence
                                                                                  : std::span<const index_t>(whole);
        kernels_of<B>::for_rows(b, experts, [=, keys = s.keys, mask = in.mask](index_t e) {
            for (std::size_t g = 0; g < n; ++g) {
                index_t* list = best.data() + start[g] + std::size_t(e) * std::size_t(room[g]);
                took[g * std::size_t(experts) + std::size_t(e)] =
                    take(keys, mask, e, cut[g], cut[g + 1], list, room[g]);
            }
        });
        detail::group_by_token(c, in.tokens(), [&](const auto& visit) {
            for (std::size_t g = 0; g < n; ++g) {
                for (index_t e = 0; e < experts; ++e) {
                    const index_t* list = best.data() + start[g] + std::size_t(e) * std::size_t(room[g]);
                    const index_t count = took[g * std::size_t(experts) + std::size_t(e)];
                    for (index_t i = 0; i < count; ++i) visit(list[i], e);
                }
            }
        });
    }

private:
    template <class T>
    index_t groups(const batch<T>& in) const {
        return per_sequence ? in.sequences() : 1;
    }

    template <class T>
    index_t capacity_of(const batch<T>& in, index_t group, index_t experts) const {
        const index_t first = per_sequence ? in.sequence_begin(group) : 0;
        const index_t last = per_sequence ? in.sequence_end(group) : in.tokens();
        index_t tokens = last - first;
        if (!in.mask.empty()) {
            tokens = 0;
            for (index_t t = first; t < last; ++t) tokens += in.live(t) ? 1 : 0;
        }
        const double factor = in.k != 0 ? double(in.k) : capacity_factor;
        return expert_capacity({factor, capacity, round, min_capacity, 1, false}, tokens, tokens, experts);
    }

    // The best `room` live tokens of [first, last) for expert e, as a heap with the worst on top; returns how many.
    template <class T>
    MOE_FN static index_t take(matrix_view<const T> keys, std::span<const std::uint8_t> mask, index_t e, index_t first,
                               index_t last, index_t* list, index_t room) {
        const auto before = [=](index_t i, index_t j) { return ranks_before(keys(i, e), i, keys(j, e), j); };
        index_t count = 0;
        for (index_t t = first; t < last; ++t) {
            if (!detail::is_live(mask, t) || excluded(keys(t, e))) continue;
            if (count == room) {
                if (room == 0 || !before(t, list[0])) continue;
                std::pop_heap(list, list + count, before);
                --count;
            }
            list[count++] = t;
            std::push_heap(list, list + count, before);
        }
        return count;
    }
};

MOE_END
