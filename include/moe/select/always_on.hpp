// select: another selector's choice joined with experts that every token gets
// SPDX-License-Identifier: Apache-2.0
//
//     choice[t] = selector(t) followed by the always-on experts that are not among them
//
//     moe::always_on{moe::top_k{.k = 6}, {.experts = {8, 9}, .hidden = true}}
//
// `hidden` keeps the always-on experts out of the selector's sight: shared experts as the last columns of one gate, with
// joint weights once renormalised (Inkling); without it they may be chosen as well and count once (ExpertCondenser).
// Source: Inkling 2026, ExpertCondenser 2025, UniMoE-Audio 2025.
// order         the selector's slots, then the always-on ones as listed; -1 where an expert is excluded or chosen already
// weights       gathered from the scores, for all alike
// causal, needs, check: those of the selector
// errors        value_error for an expert out of [0, E) or given twice
// cost          the selector's, plus O(T (k + n)); scratch for its choice, and T E keys if hidden
#pragma once

#include <algorithm>
#include <vector>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/select/ragged.hpp"

MOE_BEGIN

struct always_on_options {
    std::vector<index_t> experts;
    bool hidden = false;
};

template <class Selector>
struct always_on {
    using role = selector_step;
    static constexpr const char* name = "always_on";
    static constexpr unsigned needs = [] {
        if constexpr (requires { Selector::needs; }) return Selector::needs;
        else return 0u;
    }();

    Selector selector;
    always_on_options options;

    always_on(Selector inner, always_on_options o) : selector(std::move(inner)), options(std::move(o)) {}

    // The given experts are told apart from the others.
    part_traits traits() const {
        part_traits t = traits_of(selector);
        t.expert_equivariant = t.expert_equivariant && options.experts.empty();
        return t;
    }

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t experts) const {
        const std::vector<index_t>& ids = options.experts;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const auto here = ids.begin() + std::ptrdiff_t(i);
            const bool twice = std::find(ids.begin(), here, ids[i]) != here;
            if (ids[i] >= 0 && ids[i] < columns && !twice) continue;
            throw_value(std::string("always_on.experts[") + std::to_string(i) + "]",
                        twice ? "an expert that is not given yet" : std::string("0 to ") + std::to_string(columns - 1),
                        std::to_string(ids[i]));
        }
        if constexpr (requires { selector.check(in, columns, experts); }) selector.check(in, columns, experts);
    }

    template <class T>
        requires requires(const Selector& s, const batch<T>& in) { s.width(in, 1); }
    std::int64_t width(const batch<T>& in, index_t experts) const {
        return selector.width(in, experts) + count();
    }
    template <class T>
        requires requires(const Selector& s, const batch<T>& in) { s.max_routes(in, 1); }
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        return selector.max_routes(in, experts) + std::int64_t{in.tokens()} * count();
    }

    template <class B, class T>
        requires detail::fixed_selector<Selector, B, T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const index_t k = static_cast<index_t>(selector.width(s.in(), s.keys.cols));
        const std::size_t tokens = std::size_t(s.tokens());
        const std::span<index_t> offset = b.scratch().template take<index_t>(tokens + 1);
        const std::span<index_t> expert = b.scratch().template take<index_t>(tokens * std::size_t(k));
        for (std::size_t t = 0; t <= tokens; ++t) offset[t] = static_cast<index_t>(t) * k;
        selector.forward(b, seen(b, s), choice{offset, expert});
        join(b, s, offset, expert, c.offset, c.expert);
    }

    template <class B, class T>
        requires detail::ragged_selector<Selector, B, T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const std::size_t tokens = std::size_t(s.tokens());
        const std::span<index_t> offset = b.scratch().template take<index_t>(tokens + 1);
        const std::span<index_t> expert =
            b.scratch().template take<index_t>(std::size_t(selector.max_routes(s.in(), s.keys.cols)));
        selector.forward(b, seen(b, s), ragged_choice{offset, expert});
        for (std::size_t t = 0; t <= tokens; ++t) c.offset[t] = offset[t] + static_cast<index_t>(t) * count();
        join(b, s, offset, expert, c.offset, c.expert);
    }

private:
    index_t count() const { return static_cast<index_t>(options.experts.size()); }

    // What the selector sees: all that is known, but for the keys of hidden experts.
    template <class B, class T>
    routing<T> seen(B& b, const routing<T>& s) const {
        routing<T> inner = s;
        if (!options.hidden) return inner;
        const matrix_view<T> keys = b.scratch().template take<T>(s.keys.rows, s.keys.cols);
        kernels_of<B>::for_rows(b, s.tokens(), [=, from = s.keys, ids = std::span(options.experts)](index_t t) {
            std::copy_n(from.row(t), from.cols, keys.row(t));
            for (const index_t e : ids) keys(t, e) = -std::numeric_limits<T>::infinity();
        });
        inner.keys = keys;
        return inner;
    }

    template <class B, class T>
    void join(B& b, const routing<T>& s, std::span<const index_t> offset, std::span<const index_t> expert,
              std::span<const index_t> to_offset, std::span<index_t> to) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys, mask = s.in().mask,
                                                ids = std::span(options.experts)](index_t t) {
            const index_t* const first = expert.data() + offset[std::size_t(t)];
            const index_t* const last = expert.data() + offset[std::size_t(t) + 1];
            index_t* slot = std::copy(first, last, to.data() + to_offset[std::size_t(t)]);
            for (const index_t e : ids) {
                const bool open = detail::is_live(mask, t) && !excluded(keys(t, e)) && std::find(first, last, e) == last;
                *slot++ = open ? e : -1;
            }
        });
    }
};

MOE_END
