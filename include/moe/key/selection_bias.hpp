// key: a bias per expert that acts in the choice only
// SPDX-License-Identifier: Apache-2.0
//
//     keys[e] += bias[e]
//
// Source: auxiliary-loss-free balancing (Wang et al. 2024), DeepSeek-V3 e_score_correction_bias. Weights are gathered
// from the scores, so the bias can never leak into one.
// storage       float whatever the scalar of the layer: in a narrower type near-ties collapse. State, not a parameter:
//               saved and loaded, moved by a balance controller, never by a gradient
// edges         an excluded key (-inf) stays excluded under any finite bias; NaN stays in its entry
// errors        value_error for fewer than 1 expert; shape_error unless there is one bias per column
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct selection_bias {
    using role = key_step;
    static constexpr const char* name = "selection_bias";
    static constexpr bool expert_equivariant = false;
    static constexpr bool keeps_excluded = true;
    static constexpr bool any_memory = true;

    buffer<float> bias;  // [E]

    explicit selection_bias(index_t experts) {
        if (experts < 1) throw_value("selection_bias.experts", "at least 1", std::to_string(experts));
        bias = buffer<float>(static_cast<std::size_t>(experts));
    }

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        detail::require_size("selection_bias.bias", bias.span(), static_cast<std::size_t>(columns));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> keys) const {
        const std::span<const float> of_expert = bias.span();
        kernels_of<B>::for_rows(b, keys.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < keys.cols; ++e) keys(t, e) += static_cast<T>(of_expert[std::size_t(e)]);
        });
    }

    template <class V, class... P>
    static void state(V&& v, P&... p) {
        v("bias", p.bias...);
    }
};

MOE_END
