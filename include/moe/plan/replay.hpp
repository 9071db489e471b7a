// plan: a recorded choice, to be given back as the batch's replay
// SPDX-License-Identifier: Apache-2.0
//
// A value that owns its arrays: ids only, no weights. A batch with `replay_offset` and `replay_expert` skips the selector;
// weights are gathered from the scores of that call, so a replay in training has live gradients and a recompute of the
// same call gives the same bits.
//
//     moe::recorded_choice choice(tape.routing().selected);  // what the selector chose, slot for slot
//     choice.replay_in(batch);                               // views into choice, which must outlive the call
//
// from routes   slot for slot, empty slots as -1. Of `selected`: a replay on the same scores runs the same route steps and
//               gives the bits of the original. Of the final `routes`: what was dropped stays dropped
// from a plan   the live routes alone, by ascending expert: same routes, sums of weights may round differently
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

class recorded_choice {
public:
    recorded_choice() = default;

    // What was recorded elsewhere, as batch.replay_offset and batch.replay_expert; the router checks it in a replay.
    recorded_choice(std::vector<index_t> offset, std::vector<index_t> expert)
        : offset_(std::move(offset)), expert_(std::move(expert)) {}

    template <class T>
    explicit recorded_choice(const routes<T>& r)
        : offset_(r.offset.begin(), r.offset.end()), expert_(r.expert.begin(), r.expert.end()) {}

    explicit recorded_choice(const plan_view& p) : offset_(p.token_offset.begin(), p.token_offset.end()) {
        expert_.resize(p.token_row.size());
        for (index_t e = 0; e < p.experts(); ++e) {
            for (index_t r = p.begin(e); r < p.end(e); ++r) expert_of_row(p, r, e);
        }
    }

    index_t tokens() const { return offset_.empty() ? 0 : static_cast<index_t>(offset_.size()) - 1; }
    std::span<const index_t> offset() const { return offset_; }  // [T+1]
    std::span<const index_t> expert() const { return expert_; }  // [slots]

    template <class T>
    void replay_in(batch<T>& in) const {
        in.replay_offset = offset_;
        in.replay_expert = expert_;
    }

    friend bool operator==(const recorded_choice&, const recorded_choice&) = default;

private:
    // A token's rows stand by ascending row in token_row.
    void expert_of_row(const plan_view& p, index_t row, index_t expert) {
        const std::size_t token = static_cast<std::size_t>(p.token[static_cast<std::size_t>(row)]);
        const auto first = p.token_row.begin() + p.token_offset[token];
        const auto last = p.token_row.begin() + p.token_offset[token + 1];
        expert_[static_cast<std::size_t>(std::lower_bound(first, last, row) - p.token_row.begin())] = expert;
    }

    std::vector<index_t> offset_;
    std::vector<index_t> expert_;
};

MOE_END
