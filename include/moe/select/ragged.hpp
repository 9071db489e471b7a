// select/ragged: what selectors share that give every token its own number of routes
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/routes.hpp"

MOE_BEGIN
namespace detail {

MOE_FN inline bool is_live(std::span<const std::uint8_t> mask, index_t token) {
    return mask.empty() || mask[static_cast<std::size_t>(token)] != 0;
}

// Token t wrote its experts from slot t * width on, and their number into offset[t + 1]: makes numbers offsets and
// closes the gaps. O(slots), in place.
inline void close_gaps(ragged_choice c, index_t tokens, index_t width) {
    c.offset[0] = 0;
    for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t) {
        const std::size_t from = t * static_cast<std::size_t>(width);
        const std::size_t to = static_cast<std::size_t>(c.offset[t]);
        const std::size_t count = static_cast<std::size_t>(c.offset[t + 1]);
        for (std::size_t i = 0; i < count; ++i) c.expert[to + i] = c.expert[from + i];
        c.offset[t + 1] = static_cast<index_t>(to + count);
    }
}

// Gives every token its experts in ascending order, from lists by expert: `visit(f)` calls f(token, expert) with
// ascending experts for every token, twice the same.
template <class Visit>
void group_by_token(ragged_choice c, index_t tokens, const Visit& visit) {
    const std::size_t n = static_cast<std::size_t>(tokens);
    std::fill(c.offset.begin(), c.offset.end(), 0);
    visit([&](index_t t, index_t) { ++c.offset[static_cast<std::size_t>(t) + 1]; });
    for (std::size_t t = 0; t < n; ++t) c.offset[t + 1] += c.offset[t];
    // offset[t] is the cursor of token t and is moved back afterwards.
    visit([&](index_t t, index_t e) {
        c.expert[static_cast<std::size_t>(c.offset[static_cast<std::size_t>(t)]++)] = e;
    });
    for (std::size_t t = n; t > 0; --t) c.offset[t] = c.offset[t - 1];
    c.offset[0] = 0;
}

}  // namespace detail
MOE_END
