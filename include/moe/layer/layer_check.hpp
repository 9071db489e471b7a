// layer/layer_check: what is wrong with the parts of a layer, and how its optional parts are found and visited
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/combine/row_sum.hpp"
#include "moe/combine/weighted_sum.hpp"
#include "moe/layer/router.hpp"

MOE_BEGIN

namespace detail {

enum class layer_fault {
    none,
    broken_router,
    no_router,
    no_experts,
    unknown_part,
    second_shared,
    second_combine,
    weighted_twice,
    scalars,
};

// Experts or a combine that multiply by the weights of the routes.
template <class Part>
constexpr bool applies_weight() {
    if constexpr (requires { Part::applies_weight; }) return Part::applies_weight;
    else return false;
}

// Shared experts that do more to the routed output than adding to it; their backward also writes its gradient.
template <class Part>
constexpr bool mixes_routed() {
    if constexpr (requires { Part::mixes_routed; }) return Part::mixes_routed;
    else return false;
}

template <class Part>
struct scalar_of_part {
    using type = float;
};
template <class Part>
    requires requires { typename Part::scalar; }
struct scalar_of_part<Part> {
    using type = typename Part::scalar;
};

// A router whose steps are at fault has said so already: the layer stays silent.
template <class Router>
inline constexpr bool broken = false;
template <class... Steps>
inline constexpr bool broken<router<Steps...>> = diagnose<Steps...>().fault != router_fault::none;

template <class Part>
concept optional_layer_part =
    has_role<Part, shared_part> || has_role<Part, combine_part> || has_role<Part, observer_part>;

template <class Router, class Experts, class... More>
constexpr layer_fault diagnose_layer() {
    if constexpr (broken<Router>) {
        return layer_fault::broken_router;
    } else if constexpr (!has_role<Router, router_part>) {
        return layer_fault::no_router;
    } else if constexpr (!has_role<Experts, experts_part>) {
        return layer_fault::no_experts;
    } else if constexpr (!(optional_layer_part<More> && ...)) {
        return layer_fault::unknown_part;
    } else if constexpr ((0 + ... + int(has_role<More, shared_part>)) > 1) {
        return layer_fault::second_shared;
    } else if constexpr ((0 + ... + int(has_role<More, combine_part>)) > 1) {
        return layer_fault::second_combine;
    } else if constexpr (applies_weight<Experts>() &&
                         (false || ... || (has_role<More, combine_part> && applies_weight<More>()))) {
        return layer_fault::weighted_twice;
    } else if constexpr (requires { typename Experts::scalar; }) {
        using T = typename scalar_of_part<Router>::type;
        return std::is_same_v<T, typename Experts::scalar> ? layer_fault::none : layer_fault::scalars;
    } else {
        return layer_fault::none;
    }
}

template <layer_fault Fault>
struct layer_part {
    using f = layer_fault;
    static_assert(Fault != f::no_router, "moe::layer: the first part must be a router, e.g. moe::router{...}");
    static_assert(Fault != f::no_experts,
                  "moe::layer: the second part must be an expert bank, e.g. moe::swiglu_bank<float>{...}");
    static_assert(Fault != f::unknown_part,
                  "moe::layer: after router and experts come only moe::shared{...}, a combine and an observer; router "
                  "steps belong into moe::router");
    static_assert(Fault != f::second_shared,
                  "moe::layer: this is a second moe::shared; put both banks into one, moe::shared{moe::banks{...}}");
    static_assert(Fault != f::second_combine, "moe::layer: this is a second combine; a layer has at most one");
    static_assert(
        Fault != f::weighted_twice,
        "moe::layer: these experts apply the weights of the routes themselves, and so does this combine; leave the "
        "combine out or take moe::row_sum{}");
    static_assert(Fault != f::scalars,
                  "moe::layer: the experts compute in another scalar type than the gate; use the same one in both");
};

template <class Bank>
index_t outputs_of(const Bank& bank) {
    if constexpr (requires { bank.outputs(); }) return bank.outputs();
    else return bank.features();
}

template <class Tuple, class Role>
constexpr std::size_t find_role() {
    std::size_t found = std::tuple_size_v<Tuple>;
    [&]<std::size_t... Place>(std::index_sequence<Place...>) {
        ((has_role<std::tuple_element_t<Place, Tuple>, Role> ? void(found = Place) : void()), ...);
    }(std::make_index_sequence<std::tuple_size_v<Tuple>>{});
    return found;
}

// The combine of a layer: its part, or the weighted sum (the plain one where the experts have applied the weights).
template <class T, class... Parts>
decltype(auto) combine_of(const std::tuple<Parts...>& parts) {
    constexpr std::size_t place = find_role<std::tuple<Parts...>, combine_part>();
    if constexpr (place < sizeof...(Parts)) return std::get<place>(parts);
    else if constexpr (applies_weight<std::tuple_element_t<1, std::tuple<Parts...>>>()) return moe::row_sum{};
    else return moe::weighted_sum{};
}

// The gradient of the combine in a layer's gradient; the weighted sum has none.
template <class... Parts, class G>
decltype(auto) combine_gradient(std::type_identity<std::tuple<Parts...>>, G& gradient) {
    constexpr std::size_t place = find_role<std::tuple<Parts...>, combine_part>();
    if constexpr (place < sizeof...(Parts)) return (std::get<place>(gradient));
    else return no_gradient{};
}

// Calls f(part, its place) for every part with this role.
template <class Role, class... Parts, class F>
void for_role(const std::tuple<Parts...>& parts, const F& f) {
    const auto look = [&]<std::size_t Place>(std::integral_constant<std::size_t, Place> place) {
        using Part = std::tuple_element_t<Place, std::tuple<Parts...>>;
        if constexpr (has_role<Part, Role>) f(std::get<Place>(parts), place);
    };
    [&]<std::size_t... Place>(std::index_sequence<Place...>) {
        (look(std::integral_constant<std::size_t, Place>{}), ...);
    }(std::index_sequence_for<Parts...>{});
}

// What a part's forward returns when it works on a plan (banks) or on y (shared).
template <class Part, class B, class T>
constexpr auto saved_of_part() {
    const auto call = [](const Part& p, B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> m,
                         matrix_view<const T> rows) {
        if constexpr (has_role<Part, experts_part>) return p.forward(b, s, plan, m);
        else if constexpr (has_role<Part, shared_part>) return p.forward(b, s, m);
        else if constexpr (has_role<Part, combine_part>) return p.forward(b, s, plan, rows, m);
    };
    using R = decltype(call(std::declval<const Part&>(), std::declval<B&>(), std::declval<const routing<T>&>(),
                            plan_view{}, matrix_view<T>{}, matrix_view<const T>{}));
    return saved_or_nothing<R>{};
}
template <class Part, class B, class T>
using part_saved_t = decltype(saved_of_part<Part, B, T>());

template <class Part>
constexpr const char* part_name() {
    if constexpr (has_role<Part, router_part>) return "router";
    else if constexpr (has_role<Part, experts_part>) return "experts";
    else if constexpr (has_role<Part, shared_part>) return "shared";
    else if constexpr (has_role<Part, combine_part>) return "combine";
    else return "observer";
}

// Calls f(visitor named after the part, the part in every object) for every part.
template <class Parts, class V, class F, class... P>
void visit_parts(const V& v, const F& f, P&... p) {
    [&]<std::size_t... Place>(std::index_sequence<Place...>) {
        (
            [&] {
                constexpr std::size_t place = Place;
                const auto at = nested(v, part_name<std::tuple_element_t<place, Parts>>());
                f(at, part_at<place>(p)...);
            }(),
            ...);
    }(std::make_index_sequence<std::tuple_size_v<Parts>>{});
}

}  // namespace detail

MOE_END
