// score: tokens of a label go to the experts of that label and nowhere else
// SPDX-License-Identifier: Apache-2.0
//
//     s[e] = score where pinned[l][e], else -inf;   l = batch.label[t]; a label without pinned experts keeps its scores
//
// Source: ProMoE's unconditional expert (one expert, weight 1), routing by task label. Behind the score: the pinned
// expert's weight is then `score`, whatever the gate says. That other tokens stay away from these experts is the work
// of expert_mask.
// slots         where fewer experts are pinned than a token has routes the other slots stay empty
// errors        shape_error if the table has not one column per expert; value_error for a label outside [0, L) or a
//               score that is not finite
// gradient      0 for tokens of a pinned label, else passes through
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/label_table.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct pinned_experts {
    using role = score_step;
    static constexpr const char* name = "pinned_experts";
    static constexpr bool expert_equivariant = false;
    static constexpr bool excludes = true;

    matrix<std::uint8_t> pinned;  // [L,E] 1 = tokens of the label go here
    double score = 1.0;

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        detail::check_label_table("pinned_experts.pinned", pinned, in, columns);
        constexpr double largest = std::numeric_limits<double>::max();
        if (!(score >= -largest && score <= largest)) {
            throw_value("pinned_experts.score", "a finite number", std::to_string(score));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        constexpr T nowhere = -std::numeric_limits<T>::infinity();
        replace(b, s.in(), scores, static_cast<T>(score), nowhere);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        replace(b, before.in(), d.scores, T(0), T(0));
    }

private:
    template <class B, class T>
    void replace(B& b, const batch<T>& in, matrix_view<T> m, T here, T elsewhere) const {
        const detail::label_rows rows(pinned.view(), in.label, in.mask);
        kernels_of<B>::for_rows(b, m.rows, [=](index_t t) {
            const std::uint8_t* pins = rows.of(t);
            if (pins == nullptr) return;
            bool any = false;
            for (index_t e = 0; e < m.cols; ++e) any = any || pins[e] != 0;
            for (index_t e = 0; any && e < m.cols; ++e) m(t, e) = pins[e] != 0 ? here : elsewhere;
        });
    }
};

MOE_END
