// core/plan: the live routes grouped by expert; a value that backward, losses, metrics and replay take
// SPDX-License-Identifier: Apache-2.0
//
// Rows are numbered by expert, then by token: the rows of expert e are offset[e] .. offset[e+1]. R = offset[E] is the
// number of live routes. Nothing selects again once a plan exists. The host reads `offset` on every backend; the other
// arrays are in the backend's memory.
#pragma once

#include "moe/core/view.hpp"

MOE_BEGIN

struct plan_view {
    index_t tokens = 0;
    std::span<const index_t> offset;        // [E+1] first row of every expert, then R
    std::span<const index_t> token;         // [R] token of a row
    std::span<const index_t> slot;          // [R] slot of a row in the routes
    std::span<const index_t> row;           // [slots] row of a slot, -1 = dead
    std::span<const index_t> token_offset;  // [T+1] cuts token_row by token
    std::span<const index_t> token_row;     // [R] rows of a token, by ascending expert
    std::span<const index_t> row_begin;     // [E+1] offset once more, for row programs

    index_t experts() const { return offset.empty() ? 0 : static_cast<index_t>(offset.size()) - 1; }
    index_t begin(index_t expert) const { return offset[static_cast<std::size_t>(expert)]; }
    index_t end(index_t expert) const { return offset[static_cast<std::size_t>(expert) + 1]; }
    index_t count(index_t expert) const { return end(expert) - begin(expert); }
    index_t first_row() const { return offset.empty() ? 0 : offset.front(); }
    index_t last_row() const { return offset.empty() ? 0 : offset.back(); }
    index_t rows() const { return last_row() - first_row(); }

    // The experts [first, first + n) alone; row numbers stay global.
    plan_view experts_range(index_t first, index_t n) const {
        plan_view p = *this;
        const auto cut = [&](std::span<const index_t> s) {
            return s.empty() ? s : s.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n) + 1);
        };
        p.offset = cut(offset);
        p.row_begin = cut(row_begin);
        return p;
    }
};

MOE_END
