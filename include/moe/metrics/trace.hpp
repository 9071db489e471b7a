// metrics/trace: which experts every token of a stream uses, in token order: what metrics over time read
// SPDX-License-Identifier: Apache-2.0
//
// A view of the offsets and experts of routes; -1 is an empty slot. Sequence offsets keep windows and caches inside one
// sequence; without them the stream is one sequence.
#pragma once

#include "moe/core/routes.hpp"

MOE_BEGIN

struct route_trace {
    std::span<const index_t> offset;    // [T+1]
    std::span<const index_t> expert;    // [slots] -1 = none
    index_t experts = 0;
    std::span<const index_t> sequence;  // [S+1], or empty

    index_t tokens() const { return offset.empty() ? 0 : static_cast<index_t>(offset.size()) - 1; }
    std::span<const index_t> of(index_t token) const {
        const std::size_t first = static_cast<std::size_t>(offset[static_cast<std::size_t>(token)]);
        const std::size_t last = static_cast<std::size_t>(offset[static_cast<std::size_t>(token) + 1]);
        return expert.subspan(first, last - first);
    }
    index_t sequences() const { return sequence.empty() ? 1 : static_cast<index_t>(sequence.size()) - 1; }
    index_t begin(index_t s) const { return sequence.empty() ? 0 : sequence[static_cast<std::size_t>(s)]; }
    index_t end(index_t s) const { return sequence.empty() ? tokens() : sequence[static_cast<std::size_t>(s) + 1]; }
};

// The trace of one forward.
template <class T>
route_trace trace_of(const routing<T>& s) {
    return {s.routes.offset, s.routes.expert, s.experts, s.in().sequence};
}

namespace detail {

inline void require_window(const char* option, index_t value) {
    if (value < 1) throw_value(option, "at least 1", std::to_string(value));
}

}  // namespace detail

MOE_END
