// testing/plan_laws: what every plan must be, for the routes it was built from
// SPDX-License-Identifier: Apache-2.0
//
//     plan_laws(plan, offset, expert)     one plan at hand
//     plan_laws(backend)                  the plans that a backend builds, on many routes; the failing ones shrunk
//
// conservation   every live slot has exactly one row, with its token, among the rows of its expert, and no row is more
// stability      an expert's rows stand in slot order, a token's rows in ascending order
// record         the choice recorded from a plan builds a plan with the same rows
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/plan/replay.hpp"
#include "moe/testing/generators.hpp"
#include "moe/testing/search.hpp"

MOE_BEGIN
namespace testing {

namespace detail {

inline std::string unstable_plan(const plan_view& p) {
    for (index_t e = 0; e < p.experts(); ++e) {
        for (index_t r = p.begin(e) + 1; r < p.end(e); ++r) {
            if (p.slot[std::size_t(r)] > p.slot[std::size_t(r) - 1]) continue;
            return "the rows of expert " + std::to_string(e) + " are not in slot order";
        }
    }
    for (index_t t = 0; t < p.tokens; ++t) {
        for (index_t i = p.token_offset[std::size_t(t)] + 1; i < p.token_offset[std::size_t(t) + 1]; ++i) {
            if (p.token_row[std::size_t(i) - 1] < p.token_row[std::size_t(i)]) continue;
            return "the rows of token " + std::to_string(t) + " do not rise";
        }
    }
    return "";
}

inline std::string lost_slot(const plan_view& p, index_t t, index_t s, index_t e) {
    const std::string slot = "slot " + std::to_string(s);
    const index_t r = p.row[std::size_t(s)];
    if ((e < 0) != (r < 0)) return slot + (e < 0 ? " is dead and has a row" : " is live and has no row");
    if (e < 0) return "";
    if (e >= p.experts()) return slot + " has an expert that the plan lacks";
    if (r < p.begin(e) || r >= p.end(e))
        return "the row of " + slot + " is not among those of expert " + std::to_string(e);
    if (p.slot[std::size_t(r)] != s) return "the row of " + slot + " names another slot";
    if (p.token[std::size_t(r)] != t) return "the row of " + slot + " names another token";
    return "";
}

inline std::string leaking_plan(const plan_view& p, std::span<const index_t> offset, std::span<const index_t> expert) {
    if (p.tokens != index_t(offset.size()) - 1) return "the plan has another number of tokens";
    if (p.first_row() != 0) return "rows do not start at 0";
    for (index_t e = 0; e < p.experts(); ++e) {
        if (p.count(e) < 0) return "the offsets of experts fall";
    }
    index_t live = 0;
    for (index_t t = 0; t < p.tokens; ++t) {
        index_t rows = 0;
        for (index_t s = offset[std::size_t(t)]; s < offset[std::size_t(t) + 1]; ++s) {
            const index_t e = expert[std::size_t(s)];
            const std::string found = lost_slot(p, t, s, e);
            if (!found.empty()) return found;
            rows += e < 0 ? 0 : 1;
        }
        const index_t first = p.token_offset[std::size_t(t)];
        if (p.token_offset[std::size_t(t) + 1] - first != rows)
            return "token " + std::to_string(t) + " has another number of rows";
        for (index_t i = first; i < first + rows; ++i) {
            if (p.token[std::size_t(p.token_row[std::size_t(i)])] != t) return "token_row names a row of another token";
        }
        live += rows;
    }
    return live == p.rows() ? "" : "the plan has rows without a route";
}

template <class B>
std::string lost_in_record(B& b, const plan_view& p, arena& memory) {
    const recorded_choice choice(p);
    if (choice.tokens() != p.tokens) return "the record has another number of tokens";
    const plan_view again =
        kernels_of<B>::build_plan(b, p.tokens, p.experts(), choice.offset(), choice.expert(), memory);
    for (index_t e = 0; e < p.experts(); ++e) {
        if (again.begin(e) != p.begin(e)) return "expert " + std::to_string(e) + " begins at another row";
    }
    const bool same = std::equal(p.token.begin(), p.token.end(), again.token.begin(), again.token.end());
    return same ? "" : "a row has another token";
}

}  // namespace detail

inline report plan_laws(const plan_view& plan, std::span<const index_t> offset, std::span<const index_t> expert) {
    report found{"the plan", {}};
    const std::string routes =
        "offset = " + detail::list_text(offset) + ";\nexpert = " + detail::list_text(expert) + ";";
    const std::string leak = detail::leaking_plan(plan, offset, expert);
    if (!leak.empty()) found.violations.push_back({"conservation", leak, routes, 0});
    const std::string unstable = leak.empty() ? detail::unstable_plan(plan) : "";
    if (!unstable.empty()) found.violations.push_back({"stability", unstable, routes, 0});
    return found;
}

template <class B>
report plan_laws(B& b, std::uint64_t seed = 1) {
    const auto built = [&b](const sample& s, const auto& fault) {
        arena memory;
        memory.take<char>(std::size_t{1} << 15);
        memory.reset();
        memory.poison(0xCD);
        std::vector<index_t> offset;
        for (index_t t = 0; t <= s.tokens; ++t) offset.push_back(t * s.slots);
        const plan_view p = kernels_of<B>::build_plan(b, s.tokens, s.experts, offset, s.expert, memory);
        if constexpr (requires { fault(p, memory); })
            return fault(p, memory);
        else
            return fault(p, offset, s.expert);
    };
    const std::vector<law> laws{
        {"conservation", [built](const sample& s) { return built(s, detail::leaking_plan); }},
        {"stability", [built](const sample& s) {
             return built(s, [](const plan_view& p, const auto& offset, const auto& expert) {
                 return detail::leaking_plan(p, offset, expert).empty() ? detail::unstable_plan(p) : "";
             });
         }},
        {"record", [built, &b](const sample& s) {
             return built(s, [&b](const plan_view& p, arena& memory) { return detail::lost_in_record(b, p, memory); });
         }}};
    return search("the backend's plan", laws, samples_of({.experts = 5, .slots = 3}, seed), {"", ""});
}

}  // namespace testing
MOE_END
