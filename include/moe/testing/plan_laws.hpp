// testing/plan_laws: what every plan must be
// SPDX-License-Identifier: Apache-2.0
//
// `plan_laws(plan, offset, expert)` compares a plan with the routes it was built from; it returns an empty string or one
// sentence that says what was broken, and needs no test framework.
#pragma once

#include <string>

#include "moe/core/plan.hpp"

MOE_BEGIN
namespace testing {

// Offsets rise; every live slot has exactly one row, in the range of its expert, with its token; rows of an expert stand
// in slot order; the inverse map lists a token's rows in ascending order.
inline std::string plan_laws(const plan_view& p, std::span<const index_t> offset, std::span<const index_t> expert) {
    if (p.tokens != index_t(offset.size()) - 1) return "the plan has another number of tokens";
    if (p.first_row() != 0) return "rows do not start at 0";
    for (index_t e = 0; e < p.experts(); ++e) {
        if (p.count(e) < 0) return "offsets fall";
        for (index_t r = p.begin(e) + 1; r < p.end(e); ++r) {
            if (p.slot[std::size_t(r)] <= p.slot[std::size_t(r) - 1]) return "an expert's rows are not in slot order";
        }
    }
    index_t live = 0;
    for (index_t t = 0; t < p.tokens; ++t) {
        index_t rows = 0;
        for (index_t s = offset[std::size_t(t)]; s < offset[std::size_t(t) + 1]; ++s) {
            const index_t e = expert[std::size_t(s)];
            const index_t r = p.row[std::size_t(s)];
            if ((e < 0) != (r < 0)) return std::string("slot ") + std::to_string(s) + " and its row disagree";
            if (e < 0) continue;
            if (r < p.begin(e) || r >= p.end(e)) return std::string("slot ") + std::to_string(s) + " stands with another expert";
            if (p.slot[std::size_t(r)] != s || p.token[std::size_t(r)] != t) return "a row has another slot or token";
            ++rows;
        }
        const index_t first = p.token_offset[std::size_t(t)];
        if (p.token_offset[std::size_t(t) + 1] - first != rows) return "a token has another number of rows";
        for (index_t i = first; i < first + rows; ++i) {
            const index_t r = p.token_row[std::size_t(i)];
            if (p.token[std::size_t(r)] != t) return "token_row names a row of another token";
            if (i > first && p.token_row[std::size_t(i) - 1] >= r) return "a token's rows do not rise";
        }
        live += rows;
    }
    return live == p.rows() ? "" : "the plan has rows without a route";
}

}  // namespace testing
MOE_END
