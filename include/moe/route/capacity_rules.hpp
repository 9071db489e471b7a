// route/capacity_rules: which routes fit when every expert takes a limited number of tokens
// SPDX-License-Identifier: Apache-2.0
//
// Shared by the steps that drop, pass or move what does not fit. In every scope (the batch, each sequence, or each block of
// `rows` tokens) an expert keeps its C best routes by priority, C from core/capacity with n = live tokens of the scope and
// routes = their slots, empty ones included.
//
//   order          earlier token, then earlier slot                          Switch
//   last           later token, then later slot                              capacity-aware inference
//   choice_rank    all first slots, then all second ones, ...; by token      GShard, NLLB, Tutel
//   token_score    as choice_rank, tokens by their largest weight            batch-prioritised routing (V-MoE)
//   score          weight of the route itself, then earlier slot             Megatron, capacity-aware inference
//   random         a draw by (seed, step, global token, expert)              random token selection (DeepSpeed)
//
// Weights are those that reach the step: behind a renormalize they rank differently than in front of it.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/capacity.hpp"
#include "moe/core/order.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/traits.hpp"

MOE_BEGIN

namespace detail {

inline void check_capacity(const char* part, const capacity_options& o) {
    check_capacity(part, capacity_rule{o.factor, o.count, o.round, o.least, o.multiple, o.per_choice});
    if (o.scope == capacity_scope::rows && o.rows < 1) {
        throw_value(std::string(part) + ".rows", "at least 1", std::to_string(o.rows));
    }
}

// First come, first served under a stated capacity is causal; a share of the tokens, or any other order, looks ahead.
inline part_traits capacity_traits(const capacity_options& o) {
    using priority = capacity_priority;
    const bool blocks = o.scope == capacity_scope::rows;
    return {.causal = o.count.has_value() && o.priority == priority::order,
            .batch_coupled = true,
            .stochastic = o.priority == priority::random,
            .token_equivariant = !blocks && (o.priority == priority::score || o.priority == priority::token_score),
            .expert_equivariant = o.priority != priority::random};
}

// All in the backend's memory.
struct capacity_result {
    std::span<std::uint8_t> fits;       // [slots] 1 for a live route that fits
    std::span<const index_t> first;     // [scopes+1] cuts the tokens into scopes
    std::span<index_t> room;            // [scopes] C
};

// Tokens cut into scopes, with the capacity of each.
template <class B, class T>
capacity_result capacity_scopes(B& b, const routing<T>& s, std::span<const index_t> offset, const capacity_options& o) {
    using K = kernels_of<B>;
    const batch<T>& in = s.in();
    const index_t tokens = in.tokens();
    const index_t block = o.scope == capacity_scope::rows ? o.rows : std::max(tokens, index_t{1});
    const bool cut_given = o.scope == capacity_scope::sequence && !in.sequence.empty();
    const index_t scopes = cut_given ? in.sequences() : (tokens + block - 1) / block;
    const std::span<index_t> first = b.scratch().template take<index_t>(std::size_t(scopes) + 1);
    const std::span<index_t> room = b.scratch().template take<index_t>(std::size_t(scopes));
    if (cut_given) {
        K::copy_in(b, in.sequence, first);
    } else {
        K::for_rows(b, scopes + 1, [=] MOE_ROW(index_t g) {
            const std::int64_t begin = std::int64_t{g} * block;
            first[std::size_t(g)] = begin < tokens ? static_cast<index_t>(begin) : tokens;
        });
    }
    const capacity_rule rule{o.factor, o.count, o.round, o.least, o.multiple, o.per_choice};
    const std::span<const std::uint8_t> mask = in.mask;
    const index_t experts = s.experts;
    K::for_rows(b, scopes, [=] MOE_ROW(index_t g) {
        index_t live = 0;
        std::int64_t routes = 0;
        for (index_t t = first[std::size_t(g)]; t < first[std::size_t(g) + 1]; ++t) {
            if (!mask.empty() && mask[std::size_t(t)] == 0) continue;
            ++live;
            routes += offset[std::size_t(t) + 1] - offset[std::size_t(t)];
        }
        room[std::size_t(g)] = expert_capacity(rule, live, routes, experts);
    });
    return {{}, first, room};
}

// What comes first by priority, as a strict order of slots.
template <class T>
struct capacity_order {
    capacity_priority priority;
    std::span<const index_t> offset, token;
    std::span<const T> weight, best;
    std::span<const double> draw;

    MOE_FN bool operator()(index_t i, index_t j) const {
        const std::size_t a = std::size_t(i);
        const std::size_t z = std::size_t(j);
        if (priority == capacity_priority::order) return i < j;
        if (priority == capacity_priority::last) return i > j;
        if (priority == capacity_priority::score) return ranks_before(weight[a], i, weight[z], j);
        if (priority == capacity_priority::random) return draw[a] != draw[z] ? draw[a] < draw[z] : i < j;
        const index_t t = token[a];
        const index_t u = token[z];
        const index_t rank_i = i - offset[std::size_t(t)];
        const index_t rank_j = j - offset[std::size_t(u)];
        if (rank_i != rank_j) return rank_i < rank_j;
        return priority == capacity_priority::choice_rank ? i < j
                                                          : ranks_before(best[std::size_t(t)], t, best[std::size_t(u)], u);
    }
};

// All of the result is scratch. O(R + E + T), plus sorting where an expert is over its capacity.
template <class B, class T>
capacity_result within_capacity(B& b, const routing<T>& s, std::span<const index_t> offset,
                                std::span<const index_t> expert, input_span<T> weight, const capacity_options& o) {
    using priority = capacity_priority;
    using K = kernels_of<B>;
    arena& scratch = b.scratch();
    const std::size_t slots = expert.size();
    const std::size_t tokens = std::size_t(s.tokens());
    capacity_result result = capacity_scopes(b, s, offset, o);
    result.fits = scratch.take<std::uint8_t>(slots);
    const std::span<index_t> token = scratch.take<index_t>(slots);
    const std::span<T> best = scratch.take<T>(o.priority == priority::token_score ? tokens : 0);
    const std::span<double> draw = scratch.take<double>(o.priority == priority::random ? slots : 0);
    const random_stream random(s.in().seed, stream_id("capacity"), s.in().step);
    const std::uint64_t first_token = s.in().first_token;
    K::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
        index_t top = -1;
        for (index_t i = offset[std::size_t(t)]; i < offset[std::size_t(t) + 1]; ++i) {
            const std::size_t j = std::size_t(i);
            token[j] = t;
            result.fits[j] = expert[j] >= 0 ? 1 : 0;
            if (expert[j] < 0) continue;
            if (!draw.empty()) draw[j] = random.uniform(first_token + std::uint64_t(t), std::uint32_t(expert[j]));
            if (top < 0 || ranks_before(weight[j], i, weight[std::size_t(top)], top)) top = i;
        }
        if (!best.empty()) best[std::size_t(t)] = top < 0 ? T(0) : weight[std::size_t(top)];
    });
    // A plan lists the live slots of every expert in ascending order; the list is then sorted as far as needed.
    const plan_view plan = K::build_plan(b, s.tokens(), s.experts, offset, expert, scratch);
    const std::span<index_t> list = scratch.take<index_t>(plan.slot.size());
    const std::span<const index_t> begin = plan.row_begin;
    const std::span<const index_t> slot = plan.slot;
    const capacity_order<T> before{o.priority, offset, token, weight, best, draw};
    K::for_rows(b, s.experts, [=] MOE_ROW(index_t e) {
        const index_t first = begin[std::size_t(e)];
        const index_t last = begin[std::size_t(e) + 1];
        for (index_t r = first; r < last; ++r) list[std::size_t(r)] = slot[std::size_t(r)];
        index_t* at = list.data() + first;
        index_t* const end = list.data() + last;
        for (std::size_t g = 0; g < result.room.size(); ++g) {
            index_t* stop = at;
            while (stop != end && token[std::size_t(*stop)] < result.first[g + 1]) ++stop;
            index_t* const full = stop - at <= result.room[g] ? stop : at + result.room[g];
            if (full != stop) std::nth_element(at, full, stop, before);
            for (index_t* i = full; i != stop; ++i) result.fits[std::size_t(*i)] = 0;
            at = stop;
        }
    });
    return result;
}

}  // namespace detail

MOE_END
