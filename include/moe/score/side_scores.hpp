// score: scores from outside, added with a factor
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] + gain * batch.side[t][e]
//
// Source: Glider (Li et al. 2024): a global score per sequence and expert, from instruction embeddings, beside the
// local one.
// needs         batch.side [T,E]
// errors        value_error unless gain is finite; shape_error for side features of another width
// gradient      passes through to z; side features get none
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct side_scores {
    using role = score_step;
    static constexpr const char* name = "side_scores";
    static constexpr unsigned needs = needs_side;

    double gain = 1.0;

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        constexpr double largest = std::numeric_limits<double>::max();
        if (!(gain >= -largest && gain <= largest)) {
            throw_value("side_scores.gain", "a finite number", std::to_string(gain));
        }
        if (in.side.data != nullptr) detail::require_shape("batch.side", in.side, in.tokens(), columns);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        kernels_of<B>::for_rows(b, scores.rows, [scores, side = s.in().side, g = static_cast<T>(gain)](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) += g * side(t, e);
        });
    }

    template <class B, class T>
    void backward(B&, const routing<T>&, const routing<T>&, adjoint<T>&) const {}
};

MOE_END
