// transform/balance_calibration: which further sequences give every expert enough rows to be calibrated on
// SPDX-License-Identifier: Apache-2.0
//
//     needed = ratio * (sum of counts) / E                    ratio times an even share of the calibration batch
//
//     const auto pool = moe::sequence_loads(plan_of_pool, sequence_of_pool);
//     const auto more = moe::balance_calibration(counts, pool);      more.sequences: what to add
//
// While an expert has fewer rows than needed: of those that an unused sequence can help the one with the fewest rows,
// ties to lower ids, gets the unused sequence with the most rows for it, ties to earlier ones. An expert that no
// unused sequence has rows for stays below. Source: EAQuant 2025. What is added is for quantising the experts alone:
// the router and the scales of channels keep to the batch that stands for the data.
// errors        counts or loads below 0, a ratio that is negative or not finite, offsets that do not cut the plan's
//               tokens into sequences: value_error; sizes that differ: shape_error
// cost          E + S for every sequence that is added and for every expert that none can help
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "moe/core/batch.hpp"
#include "moe/core/plan.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

struct calibration_choice {
    std::vector<index_t> sequences;    // in the order in which they were chosen
    std::vector<std::int64_t> counts;  // [E] rows with them
    double needed = 0;                 // by every expert
};

// Routes [S,E] of every sequence to every expert. sequence [S+1] as in the batch; empty: one sequence.
inline matrix<index_t> sequence_loads(const plan_view& plan, std::span<const index_t> sequence) {
    detail::check_sequence(sequence, plan.tokens);
    const index_t whole[2] = {0, plan.tokens};
    const std::span<const index_t> offset = sequence.empty() ? std::span<const index_t>(whole) : sequence;
    matrix<index_t> loads(static_cast<index_t>(offset.size()) - 1, plan.experts());
    for (index_t e = 0; e < plan.experts(); ++e) {
        index_t s = 0;  // an expert's rows are in token order
        for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
            while (plan.token[std::size_t(r)] >= offset[std::size_t(s) + 1]) ++s;
            ++loads(s, e);
        }
    }
    return loads;
}

namespace detail {

inline void require_count(const char* what, std::int64_t count) {
    if (count < 0) throw_value(std::string("balance_calibration: ") + what, "at least 0", std::to_string(count));
}

// The expert with the fewest rows below what is needed that may yet be helped, or -1.
inline index_t poorest(const calibration_choice& so_far, const std::vector<bool>& helpless) {
    index_t least = -1;
    for (std::size_t e = 0; e < helpless.size(); ++e) {
        if (helpless[e] || double(so_far.counts[e]) >= so_far.needed) continue;
        if (least < 0 || so_far.counts[e] < so_far.counts[std::size_t(least)]) least = static_cast<index_t>(e);
    }
    return least;
}

// The unused sequence with the most rows for an expert, or -1.
inline index_t richest(matrix_view<const index_t> pool, const std::vector<bool>& used, index_t expert) {
    index_t best = -1;
    for (index_t s = 0; s < pool.rows; ++s) {
        if (used[std::size_t(s)] || pool(s, expert) == 0) continue;
        if (best < 0 || pool(s, expert) > pool(best, expert)) best = s;
    }
    return best;
}

}  // namespace detail

// counts [E]: rows that the experts have already. pool [S,E]: what each sequence would add.
inline calibration_choice balance_calibration(std::span<const index_t> counts, matrix_view<const index_t> pool,
                                              double ratio = 2.0) {
    if (!(ratio >= 0) || !std::isfinite(ratio)) {
        throw_value("balance_calibration: ratio", "a finite number of at least 0", std::to_string(ratio));
    }
    detail::require_shape("balance_calibration: pool", pool, pool.rows, static_cast<index_t>(counts.size()));
    calibration_choice to{{}, {counts.begin(), counts.end()}, 0};
    std::int64_t rows = 0;
    for (const std::int64_t n : to.counts) {
        detail::require_count("counts", n);
        rows += n;
    }
    if (!counts.empty()) to.needed = ratio * double(rows) / double(counts.size());
    for (index_t s = 0; s < pool.rows; ++s) {
        for (index_t e = 0; e < pool.cols; ++e) detail::require_count("pool", pool(s, e));
    }
    std::vector<bool> used(std::size_t(pool.rows), false);
    std::vector<bool> helpless(counts.size(), false);
    for (index_t e = detail::poorest(to, helpless); e >= 0; e = detail::poorest(to, helpless)) {
        const index_t add = detail::richest(pool, used, e);
        if (add < 0) {
            helpless[std::size_t(e)] = true;  // for good: sequences only become fewer
            continue;
        }
        used[std::size_t(add)] = true;
        to.sequences.push_back(add);
        for (index_t i = 0; i < pool.cols; ++i) to.counts[std::size_t(i)] += pool(add, i);
    }
    return to;
}

MOE_END
