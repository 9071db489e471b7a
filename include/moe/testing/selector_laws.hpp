// testing/selector_laws: what every selector must keep
// SPDX-License-Identifier: Apache-2.0
//
// Each law returns an empty string or one sentence that says what was broken; it needs no test framework.
// `selector_laws(backend, selector, experts)` runs all of them on random, tied, infinite, NaN and random-bit keys, with and
// without mask and sequences, for 0 to 33 tokens.
//
// A selector whose rule lacks one of the properties says so in selector_traits.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/testing/random.hpp"

MOE_BEGIN
namespace testing {

struct selector_traits {
    bool monotone = true;       // a higher key of a chosen expert keeps it chosen
    bool token_order = true;    // permuted tokens give permuted routes (no: draws by token number, coupled ties)
    bool expert_order = true;   // permuted experts give permuted ids (no: ids from a table)
    bool batch_coupled = false; // a token's choice may depend on other tokens; must agree with the selector's `causal`
};

// What a selector chose, as a value. Slots of masked tokens are emptied, as the router does.
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

// Runs a selector alone on keys [T,columns], which are logits and scores as well. Offsets and ids are poisoned first.
template <class B, class Selector, class T>
chosen choose(B& b, const Selector& selector, const batch<T>& given, input_view<T> keys) {
    batch<T> in = given;
    if (in.x.data == nullptr) in.x = keys;
    arena kept;
    routing<T> s;
    s.batch_of_call = &in;
    s.experts = keys.cols;
    if constexpr (requires { selector.experts(keys.cols); }) s.experts = selector.experts(keys.cols);
    s.logits = s.scores = s.keys = keys;
    s.memory = &kept;
    if constexpr (requires { selector.check(in, keys.cols, s.experts); }) selector.check(in, keys.cols, s.experts);
    const std::size_t tokens = std::size_t(keys.rows);
    chosen c{std::vector<index_t>(tokens + 1, 123456789), {}};
    b.scratch().poison(0xCD);
    arena_frame scratch(b.scratch());
    if constexpr (detail::ragged_selector<Selector, B, T>) {
        c.expert.assign(std::size_t(selector.max_routes(in, s.experts)), 123456789);
        selector.forward(b, s, ragged_choice{c.offset, c.expert});
        if (std::size_t(c.offset.back()) <= c.expert.size()) c.expert.resize(std::size_t(c.offset.back()));
    } else {
        const std::size_t width = std::size_t(selector.width(in, s.experts));
        for (std::size_t t = 0; t <= tokens; ++t) c.offset[t] = static_cast<index_t>(t * width);
        c.expert.assign(tokens * width, 123456789);
        selector.forward(b, s, moe::choice{c.offset, c.expert});
    }
    for (index_t t = 0; t < keys.rows; ++t) {
        if (in.live(t)) continue;
        for (index_t i = c.offset[std::size_t(t)]; i < c.offset[std::size_t(t) + 1]; ++i) c.expert[std::size_t(i)] = -1;
    }
    return c;
}

// Offsets rise within the memory, ids are -1 or in range, distinct for a token, and never excluded by a key of -inf.
template <class T>
std::string valid_choice(const chosen& c, matrix_view<const T> keys, index_t experts) {
    const auto at = [](index_t t) { return std::string(" (token ") + std::to_string(t) + ")"; };
    if (c.offset.front() != 0) return "offsets do not start at 0";
    for (index_t t = 0; t < keys.rows; ++t) {
        const std::size_t i = std::size_t(t);
        if (c.offset[i + 1] < c.offset[i]) return std::string("offsets fall") + at(t);
        if (std::size_t(c.offset[i + 1]) > c.expert.size()) return std::string("more routes than max_routes") + at(t);
    }
    if (std::size_t(c.offset.back()) != c.expert.size()) return "offsets do not end at the number of slots";
    for (index_t t = 0; t < keys.rows; ++t) {
        std::vector<index_t> ids = c.ids(t);
        for (const index_t e : c.of(t)) {
            if (e < -1 || e >= experts) return std::string("id ") + std::to_string(e) + " out of range" + at(t);
            if (e >= 0 && experts == keys.cols && excluded(keys(t, e))) return std::string("an excluded expert was chosen") + at(t);
        }
        std::sort(ids.begin(), ids.end());
        if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) return std::string("an expert was chosen twice") + at(t);
    }
    return "";
}

// Permuted tokens give permuted routes.
template <class B, class Selector, class T>
std::string follows_tokens(B& b, const Selector& selector, batch<T> in, input_view<T> keys) {
    const chosen straight = choose(b, selector, in, keys);
    matrix<T> turned(keys.rows, keys.cols);
    const auto other = [&](index_t t) { return keys.rows - 1 - t; };
    std::vector<index_t> id, label;
    std::vector<std::uint8_t> mask;
    for (index_t t = 0; t < keys.rows; ++t) {
        const std::size_t o = std::size_t(other(t));
        std::copy(keys.row(other(t)), keys.row(other(t)) + keys.cols, &turned(t, 0));
        if (!in.token_id.empty()) id.push_back(in.token_id[o]);
        if (!in.label.empty()) label.push_back(in.label[o]);
        if (!in.mask.empty()) mask.push_back(in.mask[o]);
    }
    in.token_id = id;
    in.label = label;
    in.mask = mask;
    in.sequence = {};
    const chosen reversed = choose(b, selector, in, turned.view());
    for (index_t t = 0; t < keys.rows; ++t) {
        if (straight.ids(t) != reversed.ids(other(t))) return "reversed tokens gave other routes";
    }
    return "";
}

// Permuted experts give permuted ids; only for keys without ties.
template <class B, class Selector, class T>
std::string follows_experts(B& b, const Selector& selector, const batch<T>& in, input_view<T> keys) {
    const chosen straight = choose(b, selector, in, keys);
    matrix<T> turned(keys.rows, keys.cols);
    for (index_t t = 0; t < keys.rows; ++t) {
        for (index_t e = 0; e < keys.cols; ++e) turned(t, e) = keys(t, keys.cols - 1 - e);
    }
    const chosen reversed = choose(b, selector, in, turned.view());
    for (index_t t = 0; t < keys.rows; ++t) {
        std::vector<index_t> a = straight.ids(t);
        std::vector<index_t> c = reversed.ids(t);
        for (index_t& e : c) e = keys.cols - 1 - e;
        std::sort(a.begin(), a.end());
        std::sort(c.begin(), c.end());
        if (a != c) return "reversed experts gave other routes";
    }
    return "";
}

// Raising the key of what was chosen keeps it chosen.
template <class B, class Selector, class T>
std::string keeps_what_rises(B& b, const Selector& selector, const batch<T>& in, input_view<T> keys) {
    const chosen before = choose(b, selector, in, keys);
    matrix<T> raised(keys.rows, keys.cols);
    for (index_t t = 0; t < keys.rows; ++t) std::copy(keys.row(t), keys.row(t) + keys.cols, &raised(t, 0));
    for (index_t t = 0; t < keys.rows; ++t) {
        for (const index_t e : before.ids(t)) {
            for (const double by : {0.03, 3.0}) {
                raised(t, e) = keys(t, e) + T(by);
                if (!choose(b, selector, in, raised.view()).has(t, e)) {
                    return std::string("a higher key lost expert ") + std::to_string(e) + " of token " + std::to_string(t);
                }
            }
            raised(t, e) = keys(t, e);
        }
    }
    return "";
}

// Other keys of one token (each of the first eight) leave every other token's routes.
template <class B, class Selector, class T>
std::string chooses_alone(B& b, const Selector& selector, const batch<T>& in, input_view<T> keys) {
    const chosen clean = choose(b, selector, in, keys);
    matrix<T> spoiled(keys.rows, keys.cols);
    for (index_t t = 0; t < keys.rows; ++t) std::copy(keys.row(t), keys.row(t) + keys.cols, &spoiled(t, 0));
    for (index_t t = 0; t < std::min(keys.rows, index_t{8}); ++t) {
        for (index_t e = 0; e < keys.cols; ++e) spoiled(t, e) = std::numeric_limits<T>::quiet_NaN();
        const chosen c = choose(b, selector, in, spoiled.view());
        for (index_t u = 0; u < keys.rows; ++u) {
            const auto a = clean.of(u);
            const auto z = c.of(u);
            if (u != t && !std::equal(a.begin(), a.end(), z.begin(), z.end())) {
                return std::string("NaN keys of token ") + std::to_string(t) + " changed the routes of token " + std::to_string(u);
            }
        }
        std::copy(keys.row(t), keys.row(t) + keys.cols, &spoiled(t, 0));
    }
    return "";
}

// Keys for the laws: 0 normal, 1 ties, 2 with -inf, +inf and NaN, 3 any bit pattern, 4 all equal, 5 all -inf, 6 in (0, 1).
template <class T>
matrix<T> law_keys(index_t tokens, index_t experts, int kind) {
    const random_stream random(std::uint64_t(kind), stream_id("testing.law_keys"));
    matrix<T> keys = random_matrix<T>(tokens, experts, std::uint64_t(kind) + 11);
    constexpr T inf = std::numeric_limits<T>::infinity();
    const T odd[4] = {-inf, inf, std::numeric_limits<T>::quiet_NaN(), T(-0.0)};
    for (index_t t = 0; t < tokens; ++t) {
        for (index_t e = 0; e < experts; ++e) {
            T& key = keys(t, e);
            const auto words = random.words(std::uint64_t(t), std::uint32_t(e));
            if (kind == 1) key = T(int(words[0] % 3u)) - T(1);
            if (kind == 2 && words[0] % 2u == 0) key = odd[words[1] % 4u];
            if (kind == 3) std::memcpy(&key, words.data(), sizeof(T));
            if (kind == 4) key = T(0.25);
            if (kind == 5) key = -inf;
            if (kind == 6) key = T(1) / (T(1) + std::exp(-key));
        }
    }
    return keys;
}

template <class B, class Selector>
std::string selector_laws(B& b, const Selector& selector, index_t experts, selector_traits traits = {}) {
    using T = float;
    if (detail::is_causal_step<Selector>() == traits.batch_coupled) return "`causal` disagrees with the traits";
    for (const index_t tokens : {0, 1, 2, 7, 33}) {
        std::vector<std::uint8_t> mask;
        std::vector<index_t> id, label;
        for (index_t t = 0; t < tokens; ++t) {
            mask.push_back(t % 3 == 1 ? 0 : 1);
            id.push_back(t * 7 % 5);
            label.push_back(t % 2);
        }
        const index_t cut[4] = {0, tokens / 3, tokens / 3, tokens};
        for (int variant = 0; variant < 4; ++variant) {
            batch<T> in;
            in.token_id = id;
            in.label = label;
            if (variant % 2 == 1) in.mask = mask;
            if (variant >= 2) in.sequence = cut;
            for (int kind = 0; kind < 7; ++kind) {
                const matrix<T> own = law_keys<T>(tokens, experts, kind);
                const matrix_view<const T> keys = own;
                const auto where = [&](const std::string& sentence) {
                    return sentence.empty() ? "" : sentence + "; " + std::to_string(tokens) + " tokens, kind of keys " +
                                                       std::to_string(kind) + ", variant " + std::to_string(variant);
                };
                const chosen c = choose(b, selector, in, keys);
                index_t ids = experts;
                if constexpr (requires { selector.experts(experts); }) ids = selector.experts(experts);
                std::string fault = valid_choice(c, keys, ids);
                if (fault.empty() && choose(b, selector, in, keys) != c) fault = "a second call chose otherwise";
                const bool plain = kind == 0 || kind == 6;
                if (fault.empty() && !traits.batch_coupled) fault = chooses_alone(b, selector, in, keys);
                if (fault.empty() && plain && variant < 2 && traits.token_order) {
                    fault = follows_tokens(b, selector, in, keys);
                }
                if (fault.empty() && plain && traits.expert_order) fault = follows_experts(b, selector, in, keys);
                if (fault.empty() && plain && traits.monotone && tokens < 10) {
                    fault = keeps_what_rises(b, selector, in, keys);
                }
                if (!fault.empty()) return where(fault);
            }
        }
    }
    return "";
}

}  // namespace testing
MOE_END
