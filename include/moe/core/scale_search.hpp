// core/scale_search: the scale of a group of weights under which weighted squared errors are least
// SPDX-License-Identifier: Apache-2.0
//
//     error(s) = sum over k of m_k (w_k - s (q_k - z))^2     q_k: nearest code of w_k under s, m_k = mean x_k^2
//     refit      s' = sum of m_k w_k (q_k - z) / sum of m_k (q_k - z)^2           least squares for given codes
//
// With m the second moments of the inputs, error is what a group adds to the expected squared error of an output
// where inputs do not correlate. Candidates are the covering scale times 0.5, 0.525 .. 1.1, each as it is and once refitted;
// the zero point stays. The covering scale itself is the first candidate and stays on ties, so the result has at most
// its error. Source: importance-weighted rounding of llama.cpp's imatrix; AWQ 2023 (input magnitudes as weights).
#pragma once

#include "moe/core/quantize.hpp"

MOE_BEGIN

// What the group adds to the weighted squared error.
template <class Format>
double weighted_error(std::span<const float> weights, std::span<const double> moments, const code_scale& s) {
    double sum = 0;
    for (std::size_t k = 0; k < weights.size(); ++k) {
        const double decoded = double(s.scale) * (double(nearest_code<Format>(weights[k], s)) - double(s.zero));
        const double error = double(weights[k]) - decoded;
        sum += moments[k] * error * error;
    }
    return sum;
}

// The scale that fits the codes which s gives best; s itself where no code counts, or the fit is not above 0.
template <class Format>
code_scale refitted_scale(std::span<const float> weights, std::span<const double> moments, const code_scale& s) {
    double above = 0, below = 0;
    for (std::size_t k = 0; k < weights.size(); ++k) {
        const double code = double(nearest_code<Format>(weights[k], s)) - double(s.zero);
        above += moments[k] * double(weights[k]) * code;
        below += moments[k] * code * code;
    }
    if (!(below > 0) || !(above > 0)) return s;
    return stored_scale<Format>({static_cast<float>(above / below), s.zero});
}

namespace detail {

// The candidate of the least error(s) for a covering scale; refits(s, consider) calls consider with what refits s.
template <class Format, class Error, class Refits>
code_scale least_error_scale(const code_scale& covering, const Error& error, const Refits& refits) {
    if (!(covering.scale > 0) || !std::isfinite(covering.scale)) return covering;
    code_scale best = covering;
    double least = error(best);
    const auto consider = [&](const code_scale& s) {
        if (!(s.scale > 0) || !std::isfinite(s.scale)) return;
        const double other = error(s);
        if (!(other < least)) return;
        least = other;
        best = s;
    };
    for (int step = 0; step <= 24; ++step) {
        const float factor = 0.5f + 0.025f * float(step);
        const code_scale candidate = stored_scale<Format>({covering.scale * factor, covering.zero});
        consider(candidate);
        refits(candidate, consider);
    }
    return best;
}

}  // namespace detail

// As stored by the format. A group that is not finite, or all 0, keeps its covering scale.
template <class Format>
code_scale searched_scale(std::span<const float> weights, std::span<const double> moments) {
    return detail::least_error_scale<Format>(
        covering_scale<Format>(weights),
        [&](const code_scale& s) { return weighted_error<Format>(weights, moments, s); },
        [&](const code_scale& s, const auto& consider) {
            consider(refitted_scale<Format>(weights, moments, s));
        });
}

MOE_END
