// experts/bank: what banks made of other banks need to know about them
// SPDX-License-Identifier: Apache-2.0
//
// A bank has features(), experts(), outputs() where they differ from the features, and
//
//     Saved forward(B&, const routing<T>&, const plan_view&, matrix_view<T> rows) const
//     void backward(B&, const routing<T>&, const plan_view&, matrix_view<const T> d_rows, adjoint<T>& d
//                   [, const Saved&] [, gradient&]) const
//
// forward writes the rows [plan.first_row(), plan.last_row()) and no other: the plan may be cut to some of a layer's
// experts. backward adds to d.x. A bank that applies the weights of the routes itself says
// `static constexpr bool applies_weight = true`, adds to d.weight, and its rows are summed as they are.
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

namespace detail {

template <class Bank>
index_t bank_outputs(const Bank& bank) {
    if constexpr (requires { bank.outputs(); }) return bank.outputs();
    else return bank.features();
}

template <class Bank>
constexpr bool bank_applies_weight() {
    if constexpr (requires { Bank::applies_weight; }) return Bank::applies_weight;
    else return false;
}

// The inner bank of a wrapper, and of the gradients, which are shaped like the inner bank.
template <class Wrapper, class P>
decltype(auto) inner_of(P& p) {
    if constexpr (std::is_same_v<std::remove_const_t<P>, Wrapper>) return (p.bank);
    else return (p);
}

template <class Bank, class B, class T>
using bank_saved_t = saved_or_nothing<decltype(std::declval<const Bank&>().forward(
    std::declval<B&>(), std::declval<const routing<T>&>(), std::declval<const plan_view&>(), matrix_view<T>{}))>;

template <class Bank, class... Args>
void require_frozen_backward(const Bank& bank, Args&... args) {
    constexpr bool freezes = requires { bank.backward(args...); };
    static_assert(freezes, "moe: a bank can be frozen only if its backward also takes a moe::no_gradient");
    if constexpr (freezes) bank.backward(args...);
}

// Calls the bank's backward with what it keeps and learns. With no_gradient for a bank that learns, only x and the
// weights get gradients.
template <class Bank, class Saved, class Gradient, class... Args>
void bank_backward(const Bank& bank, const Saved& saved, Gradient& gradient, Args&&... args) {
    constexpr bool frozen = std::is_same_v<Gradient, no_gradient> && !std::is_same_v<gradient_t<Bank>, no_gradient>;
    if constexpr (!frozen) {
        call_backward(bank, saved, gradient, args...);
    } else if constexpr (std::is_same_v<Saved, nothing>) {
        require_frozen_backward(bank, args..., gradient);
    } else {
        require_frozen_backward(bank, args..., saved, gradient);
    }
}

}  // namespace detail

MOE_END
