// layer/router: a list of steps in data-flow order, features [T,F] -> routes
// SPDX-License-Identifier: Apache-2.0
//
//     features ──gate──► logits ──score steps──► scores ──key steps──► keys ──selector──► choice ──route steps──► routes
//
// moe::router{gate, score..., key..., selector, route...}. The keys are the scores until the first key step. The router
// gathers the weights from the scores; a selector with another rule has `weigh`. A choice recorded in the batch replaces
// the selector. Slots of masked tokens are emptied behind the selector; steps see zeros in their rows of features, state,
// logits and scores, so that nothing a masked row holds reaches a weight or a gradient.
//
// errors        a wrong list is one compile error; wrong shapes or options throw before any work
// memory        (score steps + key steps + 2) * T * columns while training, at most 3 * T * columns in inference;
//               with a mask a copy of the features (and of the state) more
// determinism   that of its steps; a step whose choice for one token depends on others says `causal = false`
#pragma once

#include "moe/layer/compose.hpp"
#include "moe/layer/router_flow.hpp"

MOE_BEGIN

template <class... Steps>
class router : detail::blamed<detail::diagnose<Steps...>(), Steps...>::type {
    static constexpr bool ok = detail::diagnose<Steps...>().fault == detail::router_fault::none;

public:
    using role = router_part;
    using scalar = typename detail::scalar_of_steps<Steps...>::type;
    using gradient = std::tuple<gradient_t<Steps>...>;
    template <class B>
    using record = detail::router_record<B, scalar, Steps...>;

    // Of all steps. The weights keep what the last step that wrote them promises of weights like the scores.
    part_traits traits() const {
        part_traits t;
        std::apply([&](const auto&... step) { ((t = behind(t, step)), ...); }, steps_);
        return t;
    }

    explicit router(Steps... steps) : steps_(std::move(steps)...) {
        if constexpr (ok) check(batch<scalar>{}, true);
    }

    index_t features() const { return std::get<0>(steps_).features(); }
    index_t columns() const { return std::get<0>(steps_).columns(); }
    index_t experts() const { return detail::experts_of(steps_, columns()); }

    template <std::size_t Place>
    auto& step() {
        return std::get<Place>(steps_);
    }
    template <std::size_t Place>
    const auto& step() const {
        return std::get<Place>(steps_);
    }

    // Everything that can be wrong with a batch; throws before any work. `in.features` is what the gate sees.
    void check(const batch<scalar>& in) const { check(in, false); }

    // `memory` holds what is returned (and, with a record, what backward needs); scratch is the backend's.
    template <class B>
    routing<scalar> route(B& b, const batch<scalar>& in, arena& memory, record<B>* rec = nullptr) const {
        if constexpr (ok) {
            detail::router_flow<B, scalar, Steps...> flow{b, memory, rec, in, columns(),
                                                         detail::selected_experts_of(steps_, columns())};
            return flow.run(steps_);
        } else {
            return {};
        }
    }

    // Adds to d.features (which may be d.x), d.state and the gradient.
    template <class B>
    void backward(B& b, const record<B>& rec, adjoint<scalar>& d, gradient& g) const {
        if constexpr (ok) detail::router_backward<B, scalar, Steps...>::run(b, steps_, rec, d, g);
    }

    gradient make_gradient() const {
        return std::apply([](const auto&... step) { return gradient{moe::make_gradient(step)...}; }, steps_);
    }

    template <class V, class... P>
        requires(has_parameters<Steps> || ...)
    static void parameters(V&& v, P&... p) {
        detail::visit_steps<Steps...>(v, [](auto& at, auto& step, auto&... others) {
            using S = std::remove_cvref_t<decltype(step)>;
            if constexpr (has_parameters<S>) S::parameters(at, step, others...);
        }, p...);
    }
    template <class V, class... P>
        requires(has_state<Steps> || ...)
    static void state(V&& v, P&... p) {
        detail::visit_steps<Steps...>(v, [](auto& at, auto& step, auto&... others) {
            using S = std::remove_cvref_t<decltype(step)>;
            if constexpr (has_state<S>) S::state(at, step, others...);
        }, p...);
    }

private:
    template <class Step>
    static part_traits behind(const part_traits& before, const Step& step) {
        part_traits t = before | traits_of(step);
        constexpr bool of_scores = detail::has_role<Step, gate_step> || detail::has_role<Step, score_step>;
        constexpr bool of_weights = std::is_same_v<detail::written_t<Step, archetype_backend, scalar>, std::span<scalar>>;
        if (of_scores) return t;
        const bool promises = detail::has_role<Step, route_step> && of_weights;
        t.non_negative = before.non_negative && (!promises || t.non_negative);
        t.sums_to_one = before.non_negative && promises && t.sums_to_one;
        return t;
    }

    void check(const batch<scalar>& in, bool composing) const {
        if (!composing) detail::check_batch(in, features());
        if (columns() < 1) throw_value("router: experts", "at least 1", std::to_string(columns()));
        detail::check_steps(steps_, in, columns(), detail::selected_experts_of(steps_, columns()), composing);
    }

    std::tuple<Steps...> steps_;
};

template <class... Steps>
router(Steps...) -> router<Steps...>;

template <std::size_t Place, class... Steps>
auto& part_at(router<Steps...>& r) {
    return r.template step<Place>();
}
template <std::size_t Place, class... Steps>
const auto& part_at(const router<Steps...>& r) {
    return r.template step<Place>();
}

// The only step of this type, like std::get: moe::get<moe::selection_bias>(router).
template <class Step, class... Steps>
auto& get(router<Steps...>& r) {
    constexpr bool once = (std::is_same_v<Step, Steps> + ... + 0) == 1;
    static_assert(once, "moe::get: the router has not exactly one such step");
    if constexpr (once) return r.template step<detail::position_of<Step, Steps...>()>();
    else return r;
}
template <class Step, class... Steps>
const auto& get(const router<Steps...>& r) {
    constexpr bool once = (std::is_same_v<Step, Steps> + ... + 0) == 1;
    static_assert(once, "moe::get: the router has not exactly one such step");
    if constexpr (once) return r.template step<detail::position_of<Step, Steps...>()>();
    else return r;
}

MOE_END
