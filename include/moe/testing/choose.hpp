// testing/choose: a selector alone on keys, as a router would run it
// SPDX-License-Identifier: Apache-2.0
//
//     const chosen c = choose(backend, moe::top_k{.k = 2}, batch, keys);     c.of(token), c.ids(token), c.has(token, e)
//
// Keys [T,columns] are logits and scores as well. Slots of masked tokens are emptied, as the router does.
#pragma once

#include <vector>

#include "moe/backend/reference.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN
namespace testing {

struct chosen {
    std::vector<index_t> offset, expert;

    std::span<const index_t> of(index_t token) const {
        const std::size_t t = static_cast<std::size_t>(token);
        return std::span(expert).subspan(std::size_t(offset[t]), std::size_t(offset[t + 1] - offset[t]));
    }
    std::vector<index_t> ids(index_t token) const {
        std::vector<index_t> live;
        for (const index_t e : of(token)) {
            if (e >= 0) live.push_back(e);
        }
        return live;
    }
    bool has(index_t token, index_t e) const {
        const auto slots = of(token);
        return std::find(slots.begin(), slots.end(), e) != slots.end();
    }
    friend bool operator==(const chosen&, const chosen&) = default;
};

namespace detail {

// What stands in offsets and ids before the selector runs.
inline constexpr index_t unwritten = 123456789;

// Empty, or what no router could cut slots with.
inline std::string offset_fault(std::span<const index_t> offset, std::size_t slots) {
    if (offset.front() != 0) return "offsets do not start at 0";
    for (std::size_t t = 1; t < offset.size(); ++t) {
        const std::string at = " (token " + std::to_string(t - 1) + ")";
        if (offset[t] < offset[t - 1]) return "offsets fall" + at;
        if (std::size_t(offset[t]) > slots) return "more routes than max_routes" + at;
    }
    return "";
}

// Runs the selector; returns the number of routes it announced. `fault` says why its offsets are none.
template <class B, class Selector, class T>
std::int64_t select_into(B& b, const Selector& selector, const routing<T>& s, chosen& c, std::string& fault) {
    const batch<T>& in = s.in();
    if constexpr (requires { selector.check(in, s.keys.cols, s.experts); }) selector.check(in, s.keys.cols, s.experts);
    c.offset.assign(std::size_t(s.tokens()) + 1, unwritten);
    std::int64_t most = 0;
    if constexpr (moe::detail::ragged_selector<Selector, B, T>) {
        most = selector.max_routes(in, s.experts);
        c.expert.assign(std::size_t(most), unwritten);
        selector.forward(b, s, ragged_choice{c.offset, c.expert});
        fault = offset_fault(c.offset, c.expert.size());
        if (!fault.empty()) return most;
        c.expert.resize(std::size_t(c.offset.back()));
    } else {
        const std::int64_t width = selector.width(in, s.experts);
        if (width < 0 || width > s.experts) {
            throw_value("routes per token", "at most " + std::to_string(s.experts), std::to_string(width));
        }
        most = width * s.tokens();
        for (std::size_t t = 0; t < c.offset.size(); ++t) c.offset[t] = static_cast<index_t>(std::int64_t(t) * width);
        c.expert.assign(std::size_t(most), unwritten);
        selector.forward(b, s, choice{c.offset, c.expert});
    }
    for (index_t t = 0; t < s.tokens(); ++t) {
        if (in.live(t)) continue;
        for (index_t i = c.offset[std::size_t(t)]; i < c.offset[std::size_t(t) + 1]; ++i) c.expert[std::size_t(i)] = -1;
    }
    return most;
}

template <class Selector>
index_t experts_of(const Selector& selector, index_t columns) {
    if constexpr (requires { selector.experts(columns); })
        return selector.experts(columns);
    else
        return columns;
}

}  // namespace detail

// Throws value_error where the selector's offsets are none.
template <class B, class Selector, class T>
chosen choose(B& b, const Selector& selector, const batch<T>& given, input_view<T> keys) {
    batch<T> in = given;
    if (in.x.data == nullptr) in.x = keys;
    arena kept;
    routing<T> s;
    s.batch_of_call = &in;
    s.experts = detail::experts_of(selector, keys.cols);
    s.logits = s.scores = s.keys = keys;
    s.memory = &kept;
    b.scratch().poison(0xCD);
    arena_frame scratch(b.scratch());
    chosen c;
    std::string fault;
    detail::select_into(b, selector, s, c, fault);
    if (!fault.empty()) throw_value("the selector", "offsets that rise from 0 to at most max_routes", fault);
    return c;
}

}  // namespace testing
MOE_END
