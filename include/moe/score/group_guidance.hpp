// score: each token chooses among old or among new experts, not both, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     o = largest old score, m = largest new score, D = |m - o| / max(|m|, |o|)   (0 where both are 0)
//     m > o and D > threshold: the old experts become -inf; else the new ones do
//
// Source: drift-aware token assignment, LLaVA-DyMoE: unclear tokens stay with the experts of earlier tasks. mask_both =
// false leaves the old experts in the choice of clearly new tokens.
// edges         with no old or no new expert left, nothing changes; NaN never makes a token new
// off           where batch.training is false
// errors        shape_error unless there is one entry per expert; value_error unless threshold is finite and at least 0
// gradient      0 for masked experts, else passes through
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

struct group_guidance {
    using role = score_step;
    static constexpr const char* name = "group_guidance";
    static constexpr bool expert_equivariant = false;
    static constexpr bool excludes = true;

    matrix<std::uint8_t> is_new;  // [1,E]
    double threshold = 0.2;
    bool mask_both = true;

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        detail::require_shape("group_guidance.is_new", is_new.view(), 1, columns);
        if (!(threshold >= 0.0 && threshold < std::numeric_limits<double>::infinity())) {
            throw_value("group_guidance.threshold", "a finite number of at least 0", std::to_string(threshold));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        if (!s.in().training) return;
        kernels_of<B>::for_rows(b, scores.rows, [=, fresh = is_new.data(), both = mask_both,
                                                 least = static_cast<T>(threshold)](index_t t) {
            T* z = scores.row(t);
            const int masked = masked_group(z, scores.cols, fresh, least, both);
            for (index_t e = 0; e < scores.cols; ++e) {
                if (int{fresh[e] != 0} == masked) z[e] = -std::numeric_limits<T>::infinity();
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        if (!before.in().training) return;
        kernels_of<B>::for_rows(b, after.tokens(), [z = after.scores, d_z = d.scores](index_t t) {
            for (index_t e = 0; e < z.cols; ++e) {
                if (excluded(z(t, e))) d_z(t, e) = T(0);
            }
        });
    }

private:
    // 0: the old experts, 1: the new ones, 2: none.
    template <class T>
    MOE_FN static int masked_group(const T* z, index_t n, const std::uint8_t* fresh, T least, bool both) {
        T best[2] = {-std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity()};
        for (index_t e = 0; e < n; ++e) {
            T& of_group = best[fresh[e] != 0 ? 1 : 0];
            if (z[e] > of_group) of_group = z[e];
        }
        if (excluded(best[0]) || excluded(best[1])) return 2;
        const T larger = std::max(std::abs(best[0]), std::abs(best[1]));
        const T difference = larger == T(0) ? T(0) : std::abs(best[1] - best[0]) / larger;
        const bool clearly_new = best[1] > best[0] && difference > least;
        if (clearly_new) return both ? 0 : 2;
        return 1;
    }
};

MOE_END
