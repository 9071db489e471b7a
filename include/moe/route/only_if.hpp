// route/only_if: a route step that is there or not, decided when the layer is made
// SPDX-License-Identifier: Apache-2.0
//
//     routes -> step(routes) if on, else as they are
//
// For what a configuration switches at run time, such as norm_topk_prob of Qwen and DeepSeek: the type of the layer is
// the same either way. only_if{normalize, renormalize{}}.
// contract      that of the step where it is on, parameters included; where it is off nothing is computed, gradients
//               pass unchanged and the step's own stay 0. The step's options are checked either way
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

template <class Step>
struct only_if {
    using role = route_step;
    static constexpr const char* name = detail::step_name<Step>();
    static constexpr bool any_memory = detail::runs_in_any_memory<Step>();
    static constexpr unsigned needs = [] {
        if constexpr (requires { Step::needs; }) return Step::needs;
        else return 0u;
    }();

    static_assert(detail::has_role<Step, route_step>,
                  "moe::only_if: this part is no route step; only a step behind the selector can be left out");

    bool on;
    Step step;

    only_if(bool is_on, Step s) : on(is_on), step(std::move(s)) {}

    // Weights that are left alone stay as large as they were.
    part_traits traits() const { return on ? traits_of(step) : part_traits{.non_negative = true}; }

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t experts) const {
        if constexpr (requires { step.check(in, columns, experts); }) step.check(in, columns, experts);
    }

    template <class B, class T, class X>
        requires std::is_same_v<X, detail::written_t<Step, B, T>>
    detail::saved_t<Step, B, T> forward(B& b, const routing<T>& s, X x) const {
        if (!on) return {};
        return detail::value_of([&] { return step.forward(b, s, x); });
    }

    template <class B, class T, class Saved, class G>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, const Saved& saved,
                  G& g) const {
        if (on) detail::call_backward(step, saved, g, b, before, after, d);
    }
    template <class B, class T, class G>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, G& g) const {
        backward(b, before, after, d, detail::nothing{}, g);
    }

    gradient_t<Step> make_gradient() const { return moe::make_gradient(step); }

    template <class V, class... P>
        requires has_parameters<Step>
    static void parameters(V&& v, P&... p) {
        Step::parameters(v, inner(p)...);
    }
    template <class V, class... P>
        requires has_state<Step>
    static void state(V&& v, P&... p) {
        Step::state(v, inner(p)...);
    }

private:
    // Gradients are shaped like the step.
    template <class P>
    static decltype(auto) inner(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, only_if>) return (p.step);
        else return (p);
    }
};

MOE_END
