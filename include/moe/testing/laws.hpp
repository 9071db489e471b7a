// testing/laws: the laws of every role of part, tried on hostile and plain inputs
// SPDX-License-Identifier: Apache-2.0
//
//     CHECK(moe::testing::laws(moe::top_k{.k = 2}) == moe::testing::no_violations);
//     CHECK(moe::testing::laws(part, {.experts = 8}, one_thread, three_threads) == moe::testing::no_violations);
//
// The role of the part decides which laws are tried: a step of a router, a router, a bank, a combine, shared experts, a
// layer, a loss (anything callable with a backend and a tape). Each broken law is reported with the smallest input
// found. A part declares by its traits (core/traits.hpp) which laws it cannot keep; a declaration that no input needs
// is reported as well. docs/contracts.md lists the laws by role.
//
// scalar        `laws<float>(part)`; by default that of the part, double for parts that take any. Gradients are compared
//               with central differences in double only
// backends      the part runs on the reference; further backends are compared with it and, bit for bit, with those of
//               their own type (other numbers of threads)
// cost          about 300 inputs a law; milliseconds for steps, seconds for layers
#pragma once

#include "moe/testing/make_subject.hpp"
#include "moe/testing/value_laws.hpp"

MOE_BEGIN
namespace testing {

namespace detail {

template <class Role>
std::vector<law> laws_of(Role, const subject& p) {
    constexpr bool tables = std::is_same_v<Role, score_step> || std::is_same_v<Role, key_step>;
    constexpr bool routes =
        std::is_same_v<Role, selector_step> || std::is_same_v<Role, route_step> || std::is_same_v<Role, router_part>;
    constexpr bool layers = std::is_same_v<Role, layer_role> || std::is_same_v<Role, router_part>;
    std::vector<law> laws{accepts(p), reproducible(p)};
    if (routes) laws.push_back(ids(p));
    if (p.chooses) laws.push_back(exclusion(p));
    if (p.chooses && !p.traits.batch_coupled && p.traits.monotone && p.traits.expert_equivariant)
        laws.push_back(best_first(p));
    if (p.drops_only) laws.push_back(drops_only(p));
    if (p.capacity) laws.push_back(capacity(p));
    laws.push_back(masked(p));
    if (p.token_rows) laws.push_back(isolated(p));
    if (p.token_rows && (p.traits.batch_coupled || !p.traits.causal)) laws.push_back(causal(p));
    laws.push_back(follows_tokens(p));
    if (tables || p.chooses || std::is_same_v<Role, route_step>) laws.push_back(follows_experts(p));
    if (p.chooses) laws.push_back(monotone(p));
    laws.push_back(seedless(p));
    laws.push_back(taped(p));
    if (std::is_same_v<Role, router_part>) laws.push_back(replayable(p));
    laws.push_back(finite(p));
    if (p.makes_keys) laws.push_back(excludes(p));
    if (tables && p.traits.keeps_excluded) laws.push_back(keeps_excluded(p));
    if (p.traits.non_negative) laws.push_back(sign(p));
    if (p.traits.sums_to_one) laws.push_back(sum(p));
    if (p.linear) laws.push_back(linear(p));
    if (p.trains) laws.push_back(gradient(p));
    if (p.trains && (layers || std::is_same_v<Role, experts_part> || std::is_same_v<Role, loss_role>))
        laws.push_back(masked_gradient(p));
    if (p.backend_kind.size() > 1) laws.push_back(backends(p));
    return laws;
}

}  // namespace detail

template <class T = void, class Part, class... Backends>
report laws(const Part& part, const law_options& options = {}, Backends&... others) {
    const subject p = detail::make_subject<detail::scalar_t<T, Part>>(part, others...);
    std::vector<sample> inputs = options.recorded;
    const std::vector<sample> made = samples_of(detail::shape_of(part, options), options.seed);
    inputs.insert(inputs.end(), made.begin(), made.end());
    return search(p.name, detail::laws_of(detail::role_t<Part>{}, p), inputs, p.reads);
}

}  // namespace testing
MOE_END
