// experts/weight_storage: in which form a bank keeps its weights
// SPDX-License-Identifier: Apache-2.0
//
//     ffn_bank<float, gated<silu>>                       same_scalar: weights, sums and activations in one scalar
//     ffn_bank<float, gated<silu>, bf16_weights>         bfloat16, half the memory; not trained: state, as frozen{}
//     ffn_bank<float, gated<silu>, bf16_with_masters>    bfloat16 for the products, floats beside them that are trained
//     ffn_bank<float, gated<silu>, f16_weights>          float16, the same two kinds
//     ffn_bank<float, gated<silu>, f16_with_masters>
//     ffn_bank<float, gated<silu>, int8_weights<32>>     codes of 8 bits, a scale for 32 inputs (64, 128, whole_rows);
//     ffn_bank<float, gated<silu>, int4_weights<32>>     of 4 bits; not trained
//     ffn_bank<float, gated<silu>, int4_zero_weights<32>>  with a zero point beside the scale
//     ffn_bank<float, gated<silu>, int2_zero_weights<32>>  of 2 bits, for prefixes of 8 (core/nested_codes.hpp)
//     ffn_bank<float, gated<silu>, ternary_weights<32>>  -1, 0 or 1 in 2 bits, times a scale
//     ffn_bank<float, gated<silu>, packed_ternary_weights>  in 1.6 bits, five in a byte, times the scale of a row
//     ffn_bank<float, gated<silu>, ternary_with_masters<32>>   codes rounded from trained floats; also int8, int4
//     ffn_bank<float, gated<silu>, nested_with_masters<2, 32>>  the upper 2 bits of such an int8
//
// A storage names the container of weights for a scalar, `template <class T> using weights`, and whether it is trained.
// With bfloat16 every weight and every input of a product is rounded to nearest (a relative error of at most 2^-8
// each), sums and everything between the products stay in float. With float16 only weights are rounded, to nearest: a
// relative error of at most 2^-11 from 2^-14 to 65504, an absolute one of at most 2^-25 below, infinity from 65520 on;
// inputs stay as they are, and results have the bits of a float bank with the rounded weights. Gradients of inputs use
// the rounded weights, gradients of weights belong to the masters: roundings count as identities (straight-through).
// With codes the inputs of a product are rounded to 8 bits, one scale a row (core/quantized_panels.hpp has the rule);
// the input gradient is that of the decoded weights, exactly: there too roundings count as identities, so adapters on
// such a bank (experts/lora_bank.hpp) learn as on one of the decoded weights.
#pragma once

#include "moe/core/mastered_codes.hpp"

MOE_BEGIN

struct same_scalar {
    static constexpr bool trained = true;
    template <class T>
    using weights = panels<T>;
};

namespace detail {

template <class T, class W>
struct only_with_float {
    static_assert(std::is_same_v<T, float>, "moe: a bank with short weights sums in float: ffn_bank<float, ...>");
    using type = W;
};

}  // namespace detail

// In a short format W, for products alone.
template <class W>
struct short_weights {
    static constexpr bool trained = false;
    template <class T>
    using weights = typename detail::only_with_float<T, W>::type;
};

// The same, rounded from floats that are trained; Packed is the storage without them.
template <class W, class Packed>
struct short_with_masters {
    static constexpr bool trained = true;
    using without_masters = Packed;
    template <class T>
    using weights = typename detail::only_with_float<T, mastered<W>>::type;
};

struct bf16_weights : short_weights<bf16_panels> {};
struct bf16_with_masters : short_with_masters<bf16_panels, bf16_weights> {};
struct f16_weights : short_weights<f16_panels> {};
struct f16_with_masters : short_with_masters<f16_panels, f16_weights> {};

template <index_t group>
struct int8_weights : short_weights<int8_panels<group>> {};
template <index_t group>
struct int4_weights : short_weights<int4_panels<group>> {};
template <index_t group>
struct int4_zero_weights : short_weights<int4_zero_panels<group>> {};
template <index_t group>
struct int2_zero_weights : short_weights<int2_zero_panels<group>> {};
template <index_t group>
struct ternary_weights : short_weights<ternary_panels<group>> {};
struct packed_ternary_weights : short_weights<packed_ternary_panels> {};

// The storage of the upper bits of int8_weights<group>; 8: itself.
template <int bits, index_t group>
using prefix_weights =
    std::conditional_t<bits == 8, int8_weights<group>,
                       std::conditional_t<bits == 4, int4_zero_weights<group>, int2_zero_weights<group>>>;

// Scales: scale_per_group or scale_per_matrix (core/mastered_codes.hpp).
template <index_t group, class Scales = scale_per_group>
struct int8_with_masters : short_with_masters<scaled_codes<code_format<8, group>, Scales>, int8_weights<group>> {};
template <index_t group, class Scales = scale_per_group>
struct int4_with_masters : short_with_masters<scaled_codes<code_format<4, group>, Scales>, int4_weights<group>> {};
template <index_t group, class Scales = scale_per_group>
struct ternary_with_masters : short_with_masters<scaled_codes<ternary_format<group>, Scales>, ternary_weights<group>> {
};
template <class Scales = scale_per_group>
struct packed_ternary_with_masters
    : short_with_masters<scaled_codes<ternary_format<whole_rows, true>, Scales>, packed_ternary_weights> {};
// The upper bits of the codes that int8_with_masters<group> has; 8: these.
template <int bits, index_t group>
struct nested_with_masters : short_with_masters<prefix_codes<bits, group>, prefix_weights<bits, group>> {};

MOE_END
