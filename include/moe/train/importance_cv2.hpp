// train/loss: routing of a tape -> importance loss, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * CV2(I),   I[e] = sum over live tokens t of P[t][e],   CV2 = variance / mean^2 (E - 1 in the variance)
//
// Source: Shazeer et al. 2017 (P = route_weights), V-MoE (P = the softmax). 0 at balance, E for one expert with everything.
// The variance form: no square root, so the gradient at balance is 0 and not NaN. One expert or no live token: 0.
// gradient      dL/dP[t][e] = coefficient * dCV2/dI[e], the same for every token, then as `from` says
// errors        columns other than experts (product keys); a coefficient that is not finite
#pragma once

#include "moe/train/probabilities.hpp"
#include "moe/train/squared_cv.hpp"

MOE_BEGIN

struct importance_cv2 {
    static constexpr const char* name = "importance_cv2";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    index_t label = -1;  // only tokens with this label; -1: all

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        const routing<T>& s = tape.routing();
        detail::require_finite("importance_cv2.coefficient", coefficient);
        detail::require_columns(name, s, from);
        const detail::token_filter counts = detail::live_tokens(s.in(), name, label);
        arena_frame frame(b.scratch());
        if (detail::count_tokens(b, counts, 0, s.tokens()) == 0.0) return 0.0;
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const std::span<double> sum = b.scratch().template take<double>(std::size_t(p.cols));
        detail::column_sums(b, p, counts, 0, p.rows, sum);
        const std::span<double> on_host = b.scratch().template take_on_host<double>(sum.size());
        kernels_of<B>::copy_out(b, sum, on_host);
        const double value = detail::squared_cv(on_host);
        kernels_of<B>::copy_in(b, on_host, sum);
        detail::add_gradient(b, tape, from, p, counts, 0, p.rows, detail::per_expert<T>{sum, coefficient});
        return coefficient * value;
    }
};

MOE_END
