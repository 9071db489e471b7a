// core/roles: the five kinds of router steps, the parts of a layer, and what each must provide
// SPDX-License-Identifier: Apache-2.0
//
// A part names its role, `using role = moe::score_step;`, and has the functions below; it needs no base class. B is any
// backend, T the scalar of the gate, X what the step writes. What `forward` returns is kept until `backward`.
//
//   gate      forward(B&, const routing<T>&, matrix_view<T> logits), features(), columns(), using scalar
//   score     forward(B&, const routing<T>&, matrix_view<T> scores)         in place
//   key       forward(B&, const routing<T>&, matrix_view<T> keys)           in place, no gradient
//   selector  forward(B&, const routing<T>&, choice), width(in, experts)    the same number of slots for every token
//             forward(B&, const routing<T>&, ragged_choice), max_routes(in, experts)
//   route     forward(B&, const routing<T>&, choice)                        may only drop: expert becomes -1
//             forward(B&, const routing<T>&, std::span<T> weight)           in place
//             forward(B&, const routing<T>&, routes_view<T>)                in place, may move routes
//
// A part that touches the backend's memory in verbs and row programs only says `static constexpr bool any_memory =
// true` and runs on every backend; others run where the host reads that memory.
//
//   backward(B&, const routing<T>& before, const routing<T>& after, adjoint<T>& d [, const Saved&] [, gradient&])
#pragma once

#include <tuple>

#include "moe/core/parameter.hpp"
#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"
#include "moe/core/traits.hpp"

MOE_BEGIN

struct gate_step {};
struct score_step {};
struct key_step {};
struct selector_step {};
struct route_step {};

struct router_part {};
struct experts_part {};
struct shared_part {};
struct combine_part {};
struct observer_part {};

// Stands for every backend where a composition is checked; has no verbs.
struct archetype_tag {};
struct archetype_backend {
    using tag = archetype_tag;
    using memory = host_memory;
    arena& scratch();
};

namespace detail {

template <class Part, class Role>
concept has_role = std::is_same_v<typename Part::role, Role>;

template <class Step>
concept router_step_part = has_role<Step, gate_step> || has_role<Step, score_step> || has_role<Step, key_step> ||
                           has_role<Step, selector_step> || has_role<Step, route_step>;

// The backend a step is checked against: its own, if it works with one only.
template <class Step>
struct checked_backend {
    using type = archetype_backend;
};
template <class Step>
    requires requires { typename Step::backend; }
struct checked_backend<Step> {
    using type = typename Step::backend;
};

template <class Step, class B, class T, class X>
concept writes = requires(const Step& step, B& b, const routing<T>& s, X x) { step.forward(b, s, x); };

template <class Step, class B, class T>
concept ragged_selector = writes<Step, B, T, ragged_choice> &&
                          requires(const Step& step, const batch<T>& in) { std::int64_t{step.max_routes(in, 1)}; };
template <class Step, class B, class T>
concept fixed_selector = writes<Step, B, T, choice> &&
                         requires(const Step& step, const batch<T>& in) { std::int64_t{step.width(in, 1)}; };

template <class Step, class B, class T>
concept weighs = requires(const Step& step, B& b, const routing<T>& s, std::span<T> w) { step.weigh(b, s, w); };

// What a step writes, as a type; void if its forward has no signature of its role.
template <class Step, class B, class T>
constexpr auto written_by() {
    if constexpr (has_role<Step, selector_step>) {
        if constexpr (ragged_selector<Step, B, T>) return std::type_identity<ragged_choice>{};
        else if constexpr (fixed_selector<Step, B, T>) return std::type_identity<choice>{};
        else return std::type_identity<void>{};
    } else if constexpr (has_role<Step, route_step>) {
        if constexpr (writes<Step, B, T, routes_view<T>>) return std::type_identity<routes_view<T>>{};
        else if constexpr (writes<Step, B, T, std::span<T>>) return std::type_identity<std::span<T>>{};
        else if constexpr (writes<Step, B, T, choice>) return std::type_identity<choice>{};
        else return std::type_identity<void>{};
    } else if constexpr (writes<Step, B, T, matrix_view<T>>) {
        return std::type_identity<matrix_view<T>>{};
    } else {
        return std::type_identity<void>{};
    }
}
template <class Step, class B, class T>
using written_t = typename decltype(written_by<Step, B, T>())::type;

// What a step's forward (a selector's weigh) leaves for its backward.
struct nothing {};

template <class R>
using saved_or_nothing = std::conditional_t<std::is_void_v<R>, nothing, R>;

template <class Step, class B, class T>
constexpr auto saved_by() {
    if constexpr (has_role<Step, selector_step>) {
        if constexpr (weighs<Step, B, T>) {
            using R = decltype(std::declval<const Step&>().weigh(std::declval<B&>(), std::declval<const routing<T>&>(),
                                                                 std::span<T>{}));
            return saved_or_nothing<R>{};
        } else {
            return nothing{};
        }
    } else {
        using R = decltype(std::declval<const Step&>().forward(std::declval<B&>(), std::declval<const routing<T>&>(),
                                                               std::declval<written_t<Step, B, T>>()));
        return saved_or_nothing<R>{};
    }
}
template <class Step, class B, class T>
using saved_t = decltype(saved_by<Step, B, T>());

// Calls f and returns what it returns, `nothing` for void.
template <class F>
auto value_of(F&& f) {
    if constexpr (std::is_void_v<decltype(f())>) {
        f();
        return nothing{};
    } else {
        return f();
    }
}

template <class Part, class... Args>
void require_backward(const Part& part, Args&... args) {
    constexpr bool trains = requires { part.backward(args...); };
    static_assert(trains,
                  "moe: training needs the gradient of this part: give it 'void backward(...) const', or do not call "
                  "backward");
    if constexpr (trains) part.backward(args...);
}

// Calls part.backward(args..., saved, gradient) with those of the last two that the part has. A part that wraps others may
// take a no_gradient too.
template <class Part, class Saved, class Gradient, class... Args>
void call_backward(const Part& part, const Saved& saved, Gradient& gradient, Args&&... args) {
    constexpr bool keeps = !std::is_same_v<Saved, nothing>;
    constexpr bool learns = !std::is_same_v<Gradient, no_gradient>;
    if constexpr (keeps) {
        constexpr bool takes_none = requires { part.backward(args..., saved, gradient); };
        if constexpr (learns || takes_none) require_backward(part, args..., saved, gradient);
        else require_backward(part, args..., saved);
    } else {
        constexpr bool takes_none = requires { part.backward(args..., gradient); };
        if constexpr (learns || takes_none) require_backward(part, args..., gradient);
        else require_backward(part, args...);
    }
}

// Whether a part leaves the backend's memory to verbs and row programs: `static constexpr bool any_memory = true`. A
// plain loop over it runs on backends only whose memory the host reads.
template <class Part>
constexpr bool runs_in_any_memory() {
    if constexpr (requires { Part::any_memory; }) return Part::any_memory;
    else return false;
}

template <class Step>
constexpr const char* step_name() {
    if constexpr (requires { Step::name; }) return Step::name;
    else return "a step";
}

}  // namespace detail

MOE_END
