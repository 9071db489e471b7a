// layer/compose: what is wrong with a list of router steps, as one value and one sentence
// SPDX-License-Identifier: Apache-2.0
//
// The first fault of a composition is computed as a value {fault, position}; `router_step<position, Step, fault>` asserts
// it in one class named after the place and the type, and everything else is skipped. One mistake is one error.
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

namespace detail {

enum class router_fault {
    none,
    no_steps,
    no_gate_first,
    gate_not_first,
    no_selector,
    second_selector,
    score_late,
    score_after_key,
    key_late,
    route_early,
    no_router_step,
    bad_gate,
    bad_score,
    bad_key,
    bad_selector,
    bad_route,
    needs_weigh,
};

struct router_verdict {
    router_fault fault = router_fault::none;
    std::size_t position = 0;
};

// The scalar of the first step, if it is a gate that says so; float otherwise, so that checks can go on.
template <class... Steps>
struct scalar_of_steps {
    using type = float;
};
template <class Gate, class... Steps>
    requires requires { typename Gate::scalar; }
struct scalar_of_steps<Gate, Steps...> {
    using type = typename Gate::scalar;
};

template <class Step, class T>
constexpr router_fault signature_fault() {
    using B = typename checked_backend<Step>::type;
    if constexpr (has_role<Step, gate_step>) {
        constexpr bool sizes = requires(const Step& s) { index_t{s.features()}, index_t{s.columns()}; };
        constexpr bool scalar = requires { typename Step::scalar; };
        return sizes && scalar && writes<Step, B, T, matrix_view<T>> ? router_fault::none : router_fault::bad_gate;
    } else if constexpr (std::is_void_v<written_t<Step, B, T>>) {
        if constexpr (has_role<Step, score_step>) return router_fault::bad_score;
        else if constexpr (has_role<Step, key_step>) return router_fault::bad_key;
        else if constexpr (has_role<Step, selector_step>) return router_fault::bad_selector;
        else return router_fault::bad_route;
    } else if constexpr (has_role<Step, selector_step> && requires(const Step& s) { s.experts(index_t{1}); }) {
        return weighs<Step, B, T> ? router_fault::none : router_fault::needs_weigh;
    } else {
        return router_fault::none;
    }
}

// The place of a step's kind in the data flow; route steps may follow the selector in any number.
template <class Step>
constexpr int rank_of() {
    if constexpr (has_role<Step, gate_step>) return 0;
    else if constexpr (has_role<Step, score_step>) return 1;
    else if constexpr (has_role<Step, key_step>) return 2;
    else if constexpr (has_role<Step, selector_step>) return 3;
    else return 4;
}

template <class T, class Step>
constexpr router_fault fault_at(std::size_t position, int rank_before) {
    if constexpr (!router_step_part<Step>) {
        return router_fault::no_router_step;
    } else {
        constexpr int rank = rank_of<Step>();
        if (position == 0 && rank != 0) return router_fault::no_gate_first;
        if (position > 0 && rank == 0) return router_fault::gate_not_first;
        if (rank == 3 && rank_before >= 3) return router_fault::second_selector;
        if (rank == 1 && rank_before == 2) return router_fault::score_after_key;
        if (rank == 1 && rank_before >= 3) return router_fault::score_late;
        if (rank == 2 && rank_before >= 3) return router_fault::key_late;
        if (rank == 4 && rank_before < 3) return router_fault::route_early;
        return signature_fault<Step, T>();
    }
}

template <class... Steps>
constexpr router_verdict diagnose() {
    if constexpr (sizeof...(Steps) == 0) {
        return {router_fault::no_steps, 0};
    } else {
        using T = typename scalar_of_steps<Steps...>::type;
        router_verdict verdict;
        std::size_t position = 0;
        int rank = -1;
        const auto look = [&]<class Step>(std::type_identity<Step>) {
            if (verdict.fault != router_fault::none) return;
            verdict = {fault_at<T, Step>(position, rank), position};
            if constexpr (router_step_part<Step>) rank = std::max(rank, rank_of<Step>());
            ++position;
        };
        (look(std::type_identity<Steps>{}), ...);
        if (verdict.fault == router_fault::none && rank < 3) return {router_fault::no_selector, position - 1};
        return verdict;
    }
}

template <std::size_t Position, class Step, router_fault Fault>
struct router_step {
    using f = router_fault;
    static_assert(Fault != f::no_steps,
                  "moe::router: a router needs at least a gate and a selector, e.g. moe::router{moe::linear_gate<float>"
                  "{{.features = d, .experts = e}}, moe::softmax{}, moe::top_k{.k = 2}}");
    static_assert(Fault != f::no_gate_first,
                  "moe::router: the first step must be a gate (features -> logits); put one in front, e.g. "
                  "moe::linear_gate<float>");
    static_assert(Fault != f::gate_not_first, "moe::router: only the first step may be a gate; remove this one");
    static_assert(Fault != f::no_selector,
                  "moe::router: there is no selector; add one after the score steps, e.g. moe::top_k{.k = 2}");
    static_assert(Fault != f::second_selector,
                  "moe::router: this is a second selector; a router has exactly one, remove it");
    static_assert(Fault != f::score_late,
                  "moe::router: this score step stands after the selector; move it in front of the selector");
    static_assert(Fault != f::key_late,
                  "moe::router: this key step stands after the selector; move it in front of the selector");
    static_assert(Fault != f::score_after_key,
                  "moe::router: this score step stands after a key step, so the keys would not follow it; move it in "
                  "front of the key steps");
    static_assert(Fault != f::route_early,
                  "moe::router: this route step stands before the selector; move it behind the selector");
    static_assert(Fault != f::no_router_step,
                  "moe::router: this part is no router step; a step says 'using role = moe::gate_step' (or score_step, "
                  "key_step, selector_step, route_step); experts, shared and combine belong into moe::layer");
    static_assert(Fault != f::bad_gate,
                  "moe::router: this gate lacks 'index_t features() const', 'index_t columns() const', 'using scalar' "
                  "or 'forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const' for every backend B");
    static_assert(Fault != f::bad_score,
                  "moe::router: this score step lacks 'forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const' "
                  "for every backend B and the gate's scalar T");
    static_assert(Fault != f::bad_key,
                  "moe::router: this key step lacks 'void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) "
                  "const' for every backend B and the gate's scalar T");
    static_assert(Fault != f::bad_selector,
                  "moe::router: this selector lacks 'std::int64_t width(const moe::batch<T>&, moe::index_t experts) "
                  "const' with 'void forward(B&, const moe::routing<T>&, moe::choice) const', or 'max_routes' with "
                  "'moe::ragged_choice', for every backend B and the gate's scalar T");
    static_assert(Fault != f::bad_route,
                  "moe::router: this route step lacks 'forward(B&, const moe::routing<T>&, X) const' with X one of "
                  "moe::choice, std::span<T>, moe::routes_view<T>, for every backend B and the gate's scalar T");
    static_assert(Fault != f::needs_weigh,
                  "moe::router: this selector's experts are not the columns of the scores, so it needs 'weigh(B&, "
                  "const moe::routing<T>&, std::span<T>) const' and its backward");
};

template <std::size_t Position, class First, class... Rest>
struct step_at {
    using type = typename step_at<Position - 1, Rest...>::type;
};
template <class First, class... Rest>
struct step_at<0, First, Rest...> {
    using type = First;
};

template <router_verdict Verdict, class... Steps>
struct blamed {
    using type = router_step<Verdict.position, typename step_at<Verdict.position, Steps...>::type, Verdict.fault>;
};
template <router_verdict Verdict>
struct blamed<Verdict> {
    using type = router_step<0, void, Verdict.fault>;
};

}  // namespace detail

MOE_END
