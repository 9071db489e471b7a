// gate: a score step applied to the features in front of a gate
// SPDX-License-Identifier: Apache-2.0
//
//     logits = gate(step(features))          the experts still see x
//
// Any score step serves, its columns are then the features: input jitter of Switch (features_through{jitter{0.01},
// gate}), Gemma 4's router input (rms_normalize with gain, then temperature{sqrt(F)}), PHATGOOSE (standardize), cosine
// routing. Several steps nest: features_through{a, features_through{b, gate}} applies a, then b.
// contract      that of step and gate together; their parameters are named step.* and gate.*
// memory        T F for the changed features, until backward where there is one
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <class Step, class Gate>
struct features_through {
    using role = gate_step;
    using scalar = typename Gate::scalar;
    using T = scalar;
    static constexpr const char* name = "features_through";
    static constexpr unsigned needs = [] {
        unsigned all = 0;
        if constexpr (requires { Step::needs; }) all |= Step::needs;
        if constexpr (requires { Gate::needs; }) all |= Gate::needs;
        return all;
    }();

    static_assert(detail::has_role<Step, score_step>,
                  "moe::features_through: the first part must be a score step, e.g. moe::jitter{0.01}");
    static_assert(detail::has_role<Gate, gate_step>,
                  "moe::features_through: the second part must be a gate, e.g. moe::linear_gate<float>");

    Step step;
    Gate gate;

    // The logits keep what the gate promises.
    part_traits traits() const { return traits_of(step) | traits_of(gate); }

    features_through(Step s, Gate g) : step(std::move(s)), gate(std::move(g)) {}

    index_t features() const { return gate.features(); }
    index_t columns() const { return gate.columns(); }

    void check(const batch<T>& in, index_t columns, index_t experts) const {
        if constexpr (requires { step.check(in, columns, experts); }) step.check(in, features(), features());
        if constexpr (requires { gate.check(in, columns, experts); }) gate.check(in, columns, experts);
    }

    template <class B>
    struct kept {
        matrix_view<const T> changed;
        detail::saved_t<Step, B, T> step;
        detail::saved_t<Gate, B, T> gate;
    };

    template <class B>
    kept<B> forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        kept<B> saved;
        const matrix_view<T> changed = s.memory->template take<T>(s.tokens(), features());
        kernels_of<B>::copy(b, s.in().features, changed);
        saved.step = detail::value_of([&] { return step.forward(b, s, changed); });
        saved.changed = changed;
        const seen at_gate(s, changed);
        saved.gate = detail::value_of([&] { return gate.forward(b, at_gate.routing_of_gate(s), logits); });
        return saved;
    }

    // The gradient of both parts, each of its own type.
    struct gradient {
        gradient_t<Step> step;
        gradient_t<Gate> gate;
    };
    gradient make_gradient() const { return {moe::make_gradient(step), moe::make_gradient(gate)}; }

    template <class B, class G>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, const kept<B>& saved,
                  G& g) const {
        const matrix_view<T> d_changed = b.scratch().template take<T>(before.tokens(), features());
        kernels_of<B>::fill(b, d_changed, T(0));
        {
            const seen at_gate(before, saved.changed);
            adjoint<T> d_gate = d;
            d_gate.features = d_changed;
            detail::call_backward(gate, saved.gate, g.gate, b, at_gate.routing_of_gate(before),
                                  at_gate.routing_of_gate(after), d_gate);
        }
        routing<T> before_step = before, after_step = after;
        before_step.scores = before.in().features;
        after_step.scores = saved.changed;
        adjoint<T> d_step = d;
        d_step.scores = d_changed;
        detail::call_backward(step, saved.step, g.step, b, before_step, after_step, d_step);
        kernels_of<B>::add(b, matrix_view<const T>(d_changed), d.features);
    }

    template <class V, class... P>
        requires(has_parameters<Step> || has_parameters<Gate>)
    static void parameters(V&& v, P&... p) {
        if constexpr (has_parameters<Step>) Step::parameters(nested(v, "step"), p.step...);
        if constexpr (has_parameters<Gate>) Gate::parameters(nested(v, "gate"), p.gate...);
    }
    template <class V, class... P>
        requires(has_state<Step> || has_state<Gate>)
    static void state(V&& v, P&... p) {
        if constexpr (has_state<Step>) Step::state(nested(v, "step"), p.step...);
        if constexpr (has_state<Gate>) Gate::state(nested(v, "gate"), p.gate...);
    }

private:
    // The batch as the gate sees it.
    struct seen {
        batch<T> in;

        seen(const routing<T>& s, matrix_view<const T> changed) : in(s.in()) { in.features = changed; }
        routing<T> routing_of_gate(const routing<T>& s) const {
            routing<T> r = s;
            r.batch_of_call = &in;
            return r;
        }
    };
};

MOE_END
