// backend/cuda: kernel bodies that build a plan: count, scan, place, sort the rows of every token
// SPDX-License-Identifier: Apache-2.0
//
// Slots are cut into chunks; one thread counts, and later places, what one chunk holds for one expert. Counts lie
// expert by expert, so that one scan over all of them gives the first row of every pair, and the order of slots is
// kept. The work is O(slots * E), split over all threads; there are no atomics and no order that could vary.
#pragma once

#include "moe/backend/cuda/grid.hpp"

MOE_BEGIN

namespace detail {

inline constexpr index_t plan_chunk = 512;  // slots of a chunk
inline constexpr index_t scan_chunk = 256;  // elements of a scan that one thread adds

// Everything the bodies below read or write, in device memory.
struct device_plan {
    index_t tokens, experts, chunks;
    std::span<const index_t> slot_offset, expert;  // [T+1], [slots]
    std::span<index_t> slot_token;                 // [slots] scratch
    std::span<index_t> count;                      // [E * chunks] scratch: counts, then the end of every pair
    plan_storage out;                              // without out.offset, which is the host's

    MOE_FN index_t first_slot(index_t chunk) const { return chunk * plan_chunk; }
    MOE_FN index_t last_slot(index_t chunk) const {
        const index_t slots = static_cast<index_t>(expert.size());
        return slots - first_slot(chunk) < plan_chunk ? slots : first_slot(chunk) + plan_chunk;
    }
    // The first row of pair i of expert and chunk, once count is scanned.
    MOE_FN index_t first_row(std::size_t i) const { return i == 0 ? 0 : count[i - 1]; }
};

// One thread per token: whose slots these are, and how many of them are live.
struct plan_tokens_body {
    device_plan plan;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t i = number_of(block, thread);
        if (i >= plan.tokens) return;
        const std::size_t t = static_cast<std::size_t>(i);
        index_t live = 0;
        for (index_t s = plan.slot_offset[t]; s < plan.slot_offset[t + 1]; ++s) {
            plan.slot_token[std::size_t(s)] = static_cast<index_t>(i);
            plan.out.row[std::size_t(s)] = -1;
            live += plan.expert[std::size_t(s)] >= 0 ? 1 : 0;
        }
        plan.out.token_offset[t + 1] = live;
    }
};

struct plan_count_body {
    device_plan plan;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, plan.experts, plan.chunks);
        if (!at.exists) return;
        index_t n = 0;
        for (index_t s = plan.first_slot(at.col); s < plan.last_slot(at.col); ++s) {
            n += plan.expert[std::size_t(s)] == at.row ? 1 : 0;
        }
        plan.count[std::size_t(at.row) * std::size_t(plan.chunks) + std::size_t(at.col)] = n;
    }
};

// Running sums in place, in three passes: sums of chunks, running sums of those, running sums within the chunks.
struct scan_chunks_body {
    std::span<const index_t> values;
    std::span<index_t> sums;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::size_t i = static_cast<std::size_t>(number_of(block, thread));
        if (i >= sums.size()) return;
        index_t sum = 0;
        for (std::size_t j = i * scan_chunk; j < values.size() && j < (i + 1) * scan_chunk; ++j) sum += values[j];
        sums[i] = sum;
    }
};

struct scan_sums_body {
    std::span<index_t> sums;

    MOE_FN void operator()(index_t block, index_t thread) const {
        if (number_of(block, thread) != 0) return;
        for (std::size_t i = 1; i < sums.size(); ++i) sums[i] += sums[i - 1];
    }
};

struct scan_values_body {
    std::span<index_t> values;
    std::span<const index_t> sums;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::size_t i = static_cast<std::size_t>(number_of(block, thread));
        if (i >= sums.size()) return;
        index_t sum = i == 0 ? 0 : sums[i - 1];
        for (std::size_t j = i * scan_chunk; j < values.size() && j < (i + 1) * scan_chunk; ++j) {
            sum += values[j];
            values[j] = sum;
        }
    }
};

// One thread per expert, and one for the end: the offsets.
struct plan_offsets_body {
    device_plan plan;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t e = number_of(block, thread);
        if (e > plan.experts) return;
        plan.out.row_begin[std::size_t(e)] = plan.first_row(std::size_t(e) * std::size_t(plan.chunks));
        if (e == 0) plan.out.token_offset[0] = 0;
    }
};

struct plan_place_body {
    device_plan plan;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, plan.experts, plan.chunks);
        if (!at.exists) return;
        index_t r = plan.first_row(std::size_t(at.row) * std::size_t(plan.chunks) + std::size_t(at.col));
        for (index_t s = plan.first_slot(at.col); s < plan.last_slot(at.col); ++s) {
            if (plan.expert[std::size_t(s)] != at.row) continue;
            plan.out.token[std::size_t(r)] = plan.slot_token[std::size_t(s)];
            plan.out.slot[std::size_t(r)] = s;
            plan.out.row[std::size_t(s)] = r++;
        }
    }
};

// One thread per token: its rows, sorted by insertion.
struct plan_sort_body {
    device_plan plan;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t i = number_of(block, thread);
        if (i >= plan.tokens) return;
        const std::size_t t = static_cast<std::size_t>(i);
        index_t* const begin = plan.out.token_row.data() + plan.out.token_offset[t];
        index_t* end = begin;
        for (index_t s = plan.slot_offset[t]; s < plan.slot_offset[t + 1]; ++s) {
            const index_t r = plan.out.row[std::size_t(s)];
            if (r < 0) continue;
            index_t* at = end++;
            for (; at != begin && at[-1] > r; --at) *at = at[-1];
            *at = r;
        }
    }
};

}  // namespace detail

MOE_END
