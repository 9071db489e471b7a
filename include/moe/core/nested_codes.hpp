// core/nested_codes: weights in 8 bits whose upper 4 or 2 bits are the same weights in fewer
// SPDX-License-Identifier: Apache-2.0
//
//     code_b  = code_8 / 2^(8-b), rounded down
//     scale_b = 2^(8-b) scale_8
//     zero_b  = (128 - (2^(8-b) - 1) / 2) / 2^(8-b)         7.53125 with 4 bits, 1.5078125 with 2
//
// A prefix stands for the middle of the codes that begin with it, which is no whole number; its scale and zero point
// are exact in float16. So it is an ordinary code_format with zero points, all kernels run on it, and weights inside
// the range of the codes of 8 bits err by at most half a step of the prefix. The code of 8 bits that is nearest to a
// weight has the nearest codes of 4 and 2 bits as its prefixes, so under a given scale no other code serves any width
// better, and what a quantiser has to find is the scale alone: nested_scale takes the one of the least
//
//     error(s) = sum over widths b of importance_b sum over k of m_k (w_k - w_k,b(s))^2
//
// among the candidates of core/scale_search.hpp, refitted for each width. Source: Matryoshka Quantization (Nair et al.
// 2025) for slices of int8 and the sum over widths. Its slices are rounded, which looks at the bit behind the slice and
// clamps the topmost codes; these are cut, so that what is stored of a prefix, or loaded first, is the prefix itself.
#pragma once

#include "moe/core/quantized_panels.hpp"
#include "moe/core/scale_search.hpp"

MOE_BEGIN

// 8: the codes themselves.
template <int bits, index_t group>
using prefix_format = std::conditional_t<bits == 8, code_format<8, group>, code_format<bits, group, (bits < 8)>>;

template <int bits, index_t group>
using prefix_panels = quantized_panels<prefix_format<bits, group>>;

template <int bits>
constexpr int prefix_code(int code) {
    return code >> (8 - bits);
}

// Of the scale of 8 bits. Infinite, and the group's weights with it, where float16 cannot hold it: from 1023 on with 2
// bits and float16 scales, 4094 with 4.
template <int bits>
constexpr code_scale prefix_scale(const code_scale& of_8) {
    constexpr float step = float(1 << (8 - bits));
    return {of_8.scale * step, (128.0f - (step - 1) / 2) / step};
}

// What a width counts in the search of a scale, at least 0 each, in squares of weights. No default suits: fewer bits
// err most and want the largest weights clipped, which costs more bits most. With equal numbers 2 bits decide (normal
// weights, groups of 32: outputs of 2 bits err 56 % in place of 62 %, those of 8 bits 9 % in place of 1 %), so leave
// out, or count little, what is rarely used.
struct width_importance {
    double bits_8 = 0, bits_4 = 0, bits_2 = 0;
};

namespace detail {

// f(bits as a constant, importance) for every width that counts.
template <class F>
void for_each_width(const width_importance& importance, const F& f) {
    if (importance.bits_8 > 0) f(std::integral_constant<int, 8>{}, importance.bits_8);
    if (importance.bits_4 > 0) f(std::integral_constant<int, 4>{}, importance.bits_4);
    if (importance.bits_2 > 0) f(std::integral_constant<int, 2>{}, importance.bits_2);
}

}  // namespace detail

// Of a group of weights, as stored. A group that is not finite, or all 0, keeps its covering scale.
template <index_t group>
code_scale nested_scale(std::span<const float> weights, std::span<const double> moments,
                        const width_importance& importance) {
    using whole = code_format<8, group>;
    const auto error = [&](const code_scale& s) {
        double sum = 0;
        detail::for_each_width(importance, [&](auto bits, double counts) {
            sum += counts * weighted_error<prefix_format<bits, group>>(weights, moments, prefix_scale<bits>(s));
        });
        return sum;
    };
    const auto refits = [&](const code_scale& s, const auto& consider) {
        detail::for_each_width(importance, [&](auto bits, double) {
            const code_scale fit = refitted_scale<prefix_format<bits, group>>(weights, moments, prefix_scale<bits>(s));
            consider(stored_scale<whole>({fit.scale / float(1 << (8 - bits)), s.zero}));
        });
    };
    return detail::least_error_scale<whole>(covering_scale<whole>(weights), error, refits);
}

namespace detail {

// Expert `to_group` of `to` = the upper bits of expert `group` of w.
template <int bits, index_t group_>
void assign_prefix(const int8_panels<group_>& w, index_t group, prefix_panels<bits, group_>& to, index_t to_group) {
    buffer<int> codes(static_cast<std::size_t>(w.block_inputs()));
    for (index_t n = 0; n < w.outputs(); ++n) {
        for (index_t b = 0; b < w.blocks(); ++b) {
            const index_t first = b * w.block_inputs(), count = w.block_size(b);
            for (index_t k = 0; k < count; ++k) {
                codes[std::size_t(k)] = prefix_code<bits>(w.code(group, n, first + k));
            }
            const code_scale s = prefix_scale<bits>(w.scale(group, n, b));
            to.set_block(to_group, n, b, s, {codes.data(), std::size_t(count)});
        }
    }
}

}  // namespace detail

// The upper bits of all weights, in panels of their own.
template <int bits, index_t group>
prefix_panels<bits, group> prefix_of(const int8_panels<group>& w) {
    static_assert(bits == 4 || bits == 2, "moe: a prefix of 8 bits has 4 or 2");
    detail::require_host("weights", w.space());
    prefix_panels<bits, group> to(w.groups(), w.outputs(), w.inputs());
    for (index_t g = 0; g < w.groups(); ++g) detail::assign_prefix<bits, group>(w, g, to, g);
    return to;
}

MOE_END
