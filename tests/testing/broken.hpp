// tests/testing: parts with one fault each, built from a function of a row
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/order.hpp"
#include "testing/every.hpp"

using moe::index_t;

// The best of a row, and the second where `more` says so. Faults replace one of the functions.
struct best_two {
    using role = moe::selector_step;

    template <class T>
    std::int64_t width(const moe::batch<T>&, index_t experts) const {
        return std::min(experts, index_t{2});
    }
    template <class T, class More>
    static void take(const moe::routing<T>& s, moe::choice c, const More& more) {
        for (index_t t = 0; t < s.tokens(); ++t) {
            index_t* slot = c.expert.data() + c.offset[std::size_t(t)];
            slot[0] = moe::next_best_of_row(s.keys.row(t), s.keys.cols, -1);
            if (s.keys.cols < 2) continue;
            slot[1] =
                slot[0] < 0 || !more(t, slot[0]) ? -1 : moe::next_best_of_row(s.keys.row(t), s.keys.cols, slot[0]);
        }
    }
    // A key above `limit` in a token for which `seen` holds.
    template <class T, class Seen>
    static bool any_above(const moe::routing<T>& s, T limit, const Seen& seen) {
        for (index_t t = 0; t < s.tokens(); ++t) {
            for (index_t e = 0; e < s.keys.cols; ++e) {
                if (seen(t) && s.keys(t, e) > limit) return true;
            }
        }
        return false;
    }
};

// A score step that acts on every number by itself: value(z) and slope(z).
template <class F>
struct each_score {
    using role = moe::score_step;

    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::matrix_view<T> scores) const {
        for (index_t t = 0; t < scores.rows; ++t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) = F::value(scores(t, e), s.recording);
        }
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>& before, const moe::routing<T>&, moe::adjoint<T>& d) const {
        for (index_t t = 0; t < d.scores.rows; ++t) {
            for (index_t e = 0; e < d.scores.cols; ++e) d.scores(t, e) *= F::slope(before.scores(t, e));
        }
    }
};
