// train/loss: logits of a tape and wanted experts -> binary cross entropy, gradient added to tape.d.logits
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient / (E tokens) * sum over live tokens t and e of BCE(sigmoid(z[t][e]), M[t][e])
//     BCE(s, m) = -m ln s - (1 - m) ln(1 - s) = max(z, 0) - z m + ln(1 + exp(-|z|))
//
// M [T,E] in [0, 1] is given and constant: which experts are right for a token (DriftMoE), or which an expert-choice router
// took, for the causal router that replaces it (MoMa). ln 2 at logits of 0. No live token: 0.
// gradient      dL/dz = coefficient * (sigmoid(z) - m) / (E tokens)
// errors        a target of another shape; columns other than experts; a coefficient that is not finite
#pragma once

#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct binary_match {
    static constexpr const char* name = "binary_match";

    double coefficient = 1.0;

    template <class B, class T>
    double operator()(B& b, tape<T>& tape, input_view<T> target) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("binary_match.coefficient", coefficient);
        detail::require_columns(name, s, probabilities::scores);
        detail::require_shape("binary_match: target", target, s.tokens(), detail::loss_experts(s));
        const detail::token_filter live = detail::live_tokens(s.in());
        const index_t tokens = live.count(0, s.tokens());
        if (tokens == 0) return 0.0;
        arena_frame frame(b.scratch());
        const double factor = coefficient / (static_cast<double>(detail::loss_experts(s)) * tokens);
        kernels_of<B>::for_rows(b, s.tokens(), [=, z = s.logits, d = tape.d.logits](index_t t) {
            if (!live(t)) return;
            for (index_t e = 0; e < z.cols; ++e) {
                d(t, e) += T(factor) * (T(1) / (T(1) + std::exp(-z(t, e))) - target(t, e));
            }
        });
        return factor * detail::token_sum(b, s.tokens(), live, [=, z = s.logits](index_t t) {
            T sum = T(0);
            for (index_t e = 0; e < z.cols; ++e) {
                const T v = z(t, e), positive = v > T(0) ? v : T(0);
                sum += positive - v * target(t, e) + std::log1p(std::exp(-std::abs(v)));
            }
            return static_cast<double>(sum);
        });
    }
};

MOE_END
