// backend/dispatch: the activations that both sides of a table know by number
// SPDX-License-Identifier: Apache-2.0
//
// A number is a place in a list; new activations go to the end. The bytes of an activation cross as they are: it is at
// most two numbers of double.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "moe/backend/dispatch/table.hpp"
#include "moe/core/config.hpp"

MOE_BEGIN

// Named here, defined in experts/, which only the translation unit of a level includes.
struct identity_activation;
struct relu;
struct relu_squared;
struct gelu;
struct gelu_tanh;
struct silu;
template <class Activation>
struct gated;
struct scaled_swiglu;
struct clamp_before_swiglu;
struct clamp_after_swiglu;
struct situ;

namespace detail {

template <class... A>
struct activation_list {};

using crossing_activations = activation_list<identity_activation, relu, relu_squared, gelu, gelu_tanh, silu>;
using crossing_gated_activations =
    activation_list<gated<identity_activation>, gated<relu>, gated<relu_squared>, gated<gelu>, gated<gelu_tanh>,
                    gated<silu>, scaled_swiglu, clamp_before_swiglu, clamp_after_swiglu, situ>;

// The number of A in a list; -1: it is not there.
template <class A, class... Known>
constexpr crossing::index crossing_number(activation_list<Known...>) {
    constexpr bool same[] = {std::is_same_v<A, Known>...};
    for (std::size_t i = 0; i < sizeof...(Known); ++i) {
        if (same[i]) return static_cast<crossing::index>(i);
    }
    return -1;
}

template <class List, class A>
crossing::activation numbered(const A& act) {
    static_assert(std::is_trivially_copyable_v<A> && sizeof(A) <= sizeof(crossing::activation::value));
    crossing::activation c{crossing_number<A>(List{}), {0, 0}};
    std::memcpy(c.value, &act, sizeof(A));
    return c;
}

// f(the activation of that number)
template <class... Known, class F>
void with_activation(activation_list<Known...>, const crossing::activation& c, const F& f) {
    const auto call = [&]<class A>(std::type_identity<A>) {
        struct bytes {
            unsigned char byte[sizeof(A)];
        } copy;
        std::memcpy(copy.byte, c.value, sizeof(A));
        f(std::bit_cast<A>(copy));
    };
    crossing::index number = 0;
    (void)((number++ == c.number ? (call(std::type_identity<Known>{}), true) : false) || ...);
}

}  // namespace detail

MOE_END
