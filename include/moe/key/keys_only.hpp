// key: a score step that acts on the choice only
// SPDX-License-Identifier: Apache-2.0
//
//     keys = step(keys);   scores, and therefore weights, stay as they are
//
// Masks, noise, temperatures and steering of the choice without a trace in the weights: keys_only{gaussian_noise{...}}.
// contract      that of the step: what it needs, checks, forbids and costs; there is no gradient, so what the step has
//               learned elsewhere is saved as state and not trained here
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

template <class Step>
struct keys_only {
    using role = key_step;
    static constexpr const char* name = detail::step_name<Step>();
    static constexpr unsigned needs = [] {
        if constexpr (requires { Step::needs; }) return Step::needs;
        else return 0u;
    }();

    static_assert(detail::has_role<Step, score_step>,
                  "moe::keys_only: this part is no score step; only a score step can be applied to the keys");

    Step step;

    explicit keys_only(Step s) : step(std::move(s)) {}

    part_traits traits() const { return traits_of(step); }

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t experts) const {
        if constexpr (requires { step.check(in, columns, experts); }) step.check(in, columns, experts);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> keys) const {
        (void)detail::value_of([&] { return step.forward(b, s, keys); });
    }

    template <class V, class... P>
        requires(has_parameters<Step> || has_state<Step>)
    static void state(V&& v, P&... p) {
        if constexpr (has_parameters<Step>) Step::parameters(v, p.step...);
        if constexpr (has_state<Step>) Step::state(v, p.step...);
    }
};

MOE_END
