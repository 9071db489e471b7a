// core/traits: what a part declares about itself, so that laws and callers know which promises it keeps
// SPDX-License-Identifier: Apache-2.0
//
// A part declares what differs from the defaults as static members of the same name, `static constexpr bool monotone =
// false;`. What hangs on its options it answers for the value, `moe::part_traits traits() const`; a static member beside it
// speaks for all options. The first group are exceptions: each takes one promise back, and moe::testing::laws looks for an
// input that shows the need. The second group are promises: the laws hold the part to them.
#pragma once

#include <type_traits>

#include "moe/core/config.hpp"

MOE_BEGIN

struct part_traits {
    bool causal = true;              // a token's result does not depend on later tokens
    bool batch_coupled = false;      // it depends on other tokens of the batch; implied by causal = false
    bool stochastic = false;         // it depends on batch.seed and batch.step
    bool token_equivariant = true;   // permuted tokens give permuted results; false: position counts
    bool expert_equivariant = true;  // permuted experts give permuted results; false: experts are told apart by number
    bool monotone = true;            // raising the key of a chosen expert keeps it chosen
    bool excludes = false;           // finite input may become -inf, which excludes an expert
    bool surrogate_gradient = false;  // backward is not the derivative of forward (straight-through, other estimators)

    bool non_negative = false;    // finite input gives values or weights of at least 0
    bool sums_to_one = false;     // finite input gives a token with a live route values or weights that sum to 1
    bool keeps_excluded = false;  // a score or key of -inf stays -inf
};

namespace detail {

// The static members of a part; data members of the same name do not count.
template <class Part>
constexpr part_traits static_traits() {
    part_traits t;
    if constexpr (requires { std::bool_constant<Part::causal>{}; }) t.causal = Part::causal;
    t.batch_coupled = !t.causal;
    if constexpr (requires { std::bool_constant<Part::batch_coupled>{}; }) t.batch_coupled = Part::batch_coupled;
    if constexpr (requires { std::bool_constant<Part::stochastic>{}; }) t.stochastic = Part::stochastic;
    if constexpr (requires { std::bool_constant<Part::token_equivariant>{}; }) {
        t.token_equivariant = Part::token_equivariant;
    }
    if constexpr (requires { std::bool_constant<Part::expert_equivariant>{}; }) {
        t.expert_equivariant = Part::expert_equivariant;
    }
    if constexpr (requires { std::bool_constant<Part::monotone>{}; }) t.monotone = Part::monotone;
    if constexpr (requires { std::bool_constant<Part::excludes>{}; }) t.excludes = Part::excludes;
    if constexpr (requires { std::bool_constant<Part::surrogate_gradient>{}; }) {
        t.surrogate_gradient = Part::surrogate_gradient;
    }
    if constexpr (requires { std::bool_constant<Part::non_negative>{}; }) t.non_negative = Part::non_negative;
    if constexpr (requires { std::bool_constant<Part::sums_to_one>{}; }) t.sums_to_one = Part::sums_to_one;
    if constexpr (requires { std::bool_constant<Part::keeps_excluded>{}; }) t.keeps_excluded = Part::keeps_excluded;
    return t;
}

}  // namespace detail

// What a part declares: its own answer, else its static members, else the defaults.
template <class Part>
constexpr part_traits traits_of(const Part& part) {
    if constexpr (requires { part_traits{part.traits()}; })
        return part.traits();
    else
        return detail::static_traits<Part>();
}

// Of parts that run one after the other: exceptions add up, promises on values are those of the last.
constexpr part_traits operator|(const part_traits& a, const part_traits& b) {
    return {.causal = a.causal && b.causal,
            .batch_coupled = a.batch_coupled || b.batch_coupled,
            .stochastic = a.stochastic || b.stochastic,
            .token_equivariant = a.token_equivariant && b.token_equivariant,
            .expert_equivariant = a.expert_equivariant && b.expert_equivariant,
            .monotone = a.monotone && b.monotone,
            .excludes = a.excludes || b.excludes,
            .surrogate_gradient = a.surrogate_gradient || b.surrogate_gradient,
            .non_negative = b.non_negative,
            .sums_to_one = b.sums_to_one,
            .keeps_excluded = a.keeps_excluded && b.keeps_excluded};
}

MOE_END
