// score: forbids experts, for all tokens or by the token's label
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] where allowed[l][e], else -inf;   l = batch.label[t], or 0 where the table has one row
//
// Source: modality masks (ERNIE 4.5 VL, VLMo), task and device masks, fault masks.
// place         in front of a softmax a forbidden expert gets probability 0 and the others share the rest; behind the
//               score, or as keys_only{expert_mask{...}}, it is never chosen. In front of a softmax or sigmoid alone it
//               has score 0 and may still fill a slot, with weight 0, where fewer than k experts are allowed
// labels        L rows need batch.label; labels of padding are not read. A token that may choose nothing gets no route
// errors        shape_error if the table has not one column per expert; value_error for a label outside [0, L)
// gradient      0 for forbidden experts, else passes through
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/label_table.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct expert_mask {
    using role = score_step;
    static constexpr const char* name = "expert_mask";
    static constexpr bool expert_equivariant = false;
    static constexpr bool excludes = true;
    static constexpr bool keeps_excluded = true;

    matrix<std::uint8_t> allowed;  // [L,E] 0 = forbidden; one row holds for all tokens

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        detail::check_label_table("expert_mask.allowed", allowed, in, columns);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        replace(b, s.in(), scores, -std::numeric_limits<T>::infinity());
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        replace(b, before.in(), d.scores, T(0));
    }

private:
    template <class B, class T>
    void replace(B& b, const batch<T>& in, matrix_view<T> m, T fill) const {
        const detail::label_rows rows(allowed.view(), in.label, in.mask);
        kernels_of<B>::for_rows(b, m.rows, [=](index_t t) {
            const std::uint8_t* may = rows.of(t);
            if (may == nullptr) return;
            for (index_t e = 0; e < m.cols; ++e) {
                if (may[e] == 0) m(t, e) = fill;
            }
        });
    }
};

MOE_END
