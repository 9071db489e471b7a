// experts/weight_storage: in which form a bank keeps its weights
// SPDX-License-Identifier: Apache-2.0
//
//     ffn_bank<float, gated<silu>>                       same_scalar: weights, sums and activations in one scalar
//     ffn_bank<float, gated<silu>, bf16_weights>         bfloat16, half the memory; not trained: state, as frozen{}
//     ffn_bank<float, gated<silu>, bf16_with_masters>    bfloat16 for the products, floats beside them that are trained
//
// A storage names the container of weights for a scalar, `template <class T> using weights`, and whether it is trained.
// With bfloat16 every weight and every input of a product is rounded to nearest (a relative error of at most 2^-8
// each), sums and everything between the products stay in float. Gradients of inputs use the rounded weights,
// gradients of weights belong to the masters: the roundings count as identities (straight-through).
#pragma once

#include "moe/core/mastered.hpp"

MOE_BEGIN

struct same_scalar {
    static constexpr bool trained = true;
    template <class T>
    using weights = panels<T>;
};

namespace detail {

template <class T, class W>
struct only_with_float {
    static_assert(std::is_same_v<T, float>, "moe: a bank with bfloat16 weights sums in float: ffn_bank<float, ...>");
    using type = W;
};

}  // namespace detail

struct bf16_weights {
    static constexpr bool trained = false;
    template <class T>
    using weights = typename detail::only_with_float<T, bf16_panels>::type;
};

struct bf16_with_masters {
    static constexpr bool trained = true;
    template <class T>
    using weights = typename detail::only_with_float<T, mastered<bf16_panels>>::type;
};

MOE_END
