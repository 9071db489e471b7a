// core/mastered_codes: codes of a few bits rounded from floats that are trained
// SPDX-License-Identifier: Apache-2.0
//
//     mastered<scaled_codes<ternary_format<32>, scale_per_group>>             a mean magnitude for every group
//     mastered<scaled_codes<ternary_format<whole_rows>, scale_per_matrix>>    one for an expert's matrix
//     mastered<prefix_codes<2, 32>>                                           the upper 2 bits of int8
//
// After every step scales are chosen anew from the masters and codes are the nearest ones. Rounding counts as the
// identity: the gradient of a master is that of its decoded weight, whatever its code, also where codes are at their
// ends, and scales are constants. So steps too small for another code add up in the masters. Source: the
// straight-through estimator (Bengio et al. 2013) as in BitNet b1.58 (Ma et al. 2024), whose scale is that of a matrix.
// A master that is not finite makes all weights under its scale NaN.
// cost          changed(run) is one call of run for all experts, each with a float copy of its matrix
#pragma once

#include "moe/core/mastered.hpp"
#include "moe/core/nested_codes.hpp"

MOE_BEGIN

// What core/quantize.hpp takes for a group.
struct scale_per_group {
    template <class Format>
    static auto scales(const matrix<float>&) {
        return [](std::span<const float> weights, index_t, index_t) { return default_scale<Format>(weights); };
    }
};

// The same of all weights of an expert's matrix.
struct scale_per_matrix {
    template <class Format>
    static auto scales(const matrix<float>& w) {
        return [s = default_scale<Format>(w.span())](std::span<const float>, index_t, index_t) { return s; };
    }
};

// What mastered rounds to: codes nearest under scales, or the first bits of the nearest codes of 8.
template <class Format, class Scales>
struct scaled_codes;
template <int bits, index_t group>
struct prefix_codes;

namespace detail {

// Packs an expert at a time: Round::round(packed, g, matrix<float>).
template <class Packed, class Round>
struct packing_of_codes {
    using packed = Packed;

    template <class U>
    static void assign(packed& to, index_t g, matrix_view<U> w) {
        matrix<float> copy(w.rows, w.cols);
        for (index_t n = 0; n < w.rows; ++n) {
            for (index_t k = 0; k < w.cols; ++k) copy(n, k) = static_cast<float>(w(n, k));
        }
        Round::round(to, g, copy);
    }
    template <class Run>
    static void repack(const panels<float>& masters, packed& to, const Run& run) {
        require_host("weights", masters.space());
        run(std::size_t(masters.groups()), [&](std::size_t i) {
            const index_t g = static_cast<index_t>(i);
            matrix<float> copy(masters.outputs(), masters.inputs());
            masters.read(g, copy.view());
            Round::round(to, g, copy);
        });
    }
};

template <class Format, class Scales>
struct packing<scaled_codes<Format, Scales>>
    : packing_of_codes<quantized_panels<Format>, packing<scaled_codes<Format, Scales>>> {
    static void round(quantized_panels<Format>& to, index_t g, const matrix<float>& w) {
        to.assign(g, w.view(), Scales::template scales<Format>(w));
    }
};

template <int bits, index_t group>
struct packing<prefix_codes<bits, group>>
    : packing_of_codes<prefix_panels<bits, group>, packing<prefix_codes<bits, group>>> {
    static void round(prefix_panels<bits, group>& to, index_t g, const matrix<float>& w) {
        int8_panels<group> whole(1, w.rows(), w.cols());
        whole.assign(0, w.view());
        assign_prefix<bits, group>(whole, 0, to, g);
    }
};

}  // namespace detail

MOE_END
