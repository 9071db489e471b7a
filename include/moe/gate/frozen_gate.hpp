// gate: a gate whose weights are saved but not trained
// SPDX-License-Identifier: Apache-2.0
//
//     logits = gate(features)
//
// Source: SMoE-Dropout (Chen et al. 2023): a random gate that stays as it is. The gradient still flows through the
// logits to the features; the gate's own weights have none: optimisers pass over it, files hold its weights as state.
// contract      that of the gate, which must have a backward without a gradient argument (linear_gate has)
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

template <class Gate>
struct frozen_gate {
    using role = gate_step;
    using scalar = typename Gate::scalar;
    using T = scalar;
    static constexpr const char* name = "frozen_gate";

    static_assert(detail::has_role<Gate, gate_step>,
                  "moe::frozen_gate: this part is no gate; freeze a gate, e.g. moe::linear_gate<float>");

    Gate gate;

    explicit frozen_gate(Gate g) : gate(std::move(g)) {}

    part_traits traits() const { return traits_of(gate); }

    index_t features() const { return gate.features(); }
    index_t columns() const { return gate.columns(); }

    void check(const batch<T>& in, index_t columns, index_t experts) const {
        if constexpr (requires { gate.check(in, columns, experts); }) gate.check(in, columns, experts);
    }

    template <class B>
    detail::saved_t<Gate, B, T> forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        return detail::value_of([&] { return gate.forward(b, s, logits); });
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d,
                  const detail::saved_t<Gate, B, T>& saved) const {
        no_gradient none;
        detail::call_backward(gate, saved, none, b, before, after, d);
    }
    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        backward(b, before, after, d, {});
    }

    template <class V, class... P>
        requires(has_parameters<Gate> || has_state<Gate>)
    static void state(V&& v, P&... p) {
        if constexpr (has_parameters<Gate>) Gate::parameters(v, p.gate...);
        if constexpr (has_state<Gate>) Gate::state(v, p.gate...);
    }
};

MOE_END
