// examples/custom_router: a selector of one's own, with its weights and their gradient
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>
#include <string>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

// Takes the best expert and those whose key is at most `margin` below it, at most k: sure tokens cost one expert, unsure
// ones several. The weights are a softmax over the scores of what was taken.
struct near_best {
    using role = moe::selector_step;
    static constexpr const char* name = "near_best";  // errors and reports say it
    static constexpr bool non_negative = true;        // promises about the weights
    static constexpr bool sums_to_one = true;

    double margin = 1.0;
    moe::index_t k = 2;

    // Runs when the router is composed and before every call.
    template <class T>
    void check(const moe::batch<T>&, moe::index_t, moe::index_t) const {
        if (!(margin >= 0)) moe::throw_value("near_best.margin", "at least 0", std::to_string(margin));
        if (k < 1) moe::throw_value("near_best.k", "at least 1", std::to_string(k));
    }

    // Slots of every token; those that are not needed stay empty.
    template <class T>
    std::int64_t width(const moe::batch<T>& in, moe::index_t) const {
        return in.k != 0 ? in.k : k;
    }

    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::choice c) const {
        const auto keys = s.keys;
        const auto slots = static_cast<moe::index_t>(width(s.in(), s.experts));
        const auto apart = static_cast<T>(margin);
        moe::kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(moe::index_t t) {
            moe::index_t* expert = c.expert.data() + std::ptrdiff_t(t) * slots;
            moe::best_of_row(keys.row(t), keys.cols, expert, slots);
            if (expert[0] < 0) return;  // every key is -inf
            const T best = keys(t, expert[0]);
            for (moe::index_t i = 1; i < slots; ++i) {
                if (expert[i] >= 0 && !(keys(t, expert[i]) >= best - apart)) expert[i] = -1;
            }
        });
    }

    // Without `weigh`, the router would gather the scores as they are.
    template <class B, class T>
    void weigh(B& b, const moe::routing<T>& s, std::span<T> weight) const {
        const auto scores = s.scores;
        const auto r = s.routes;
        moe::kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(moe::index_t t) {
            T largest = -std::numeric_limits<T>::infinity();
            for (moe::index_t i = r.begin(t); i < r.end(t); ++i) {
                const moe::index_t e = r.expert[std::size_t(i)];
                if (e >= 0 && !(scores(t, e) <= largest)) largest = scores(t, e);
            }
            T sum = T(0);
            for (moe::index_t i = r.begin(t); i < r.end(t); ++i) {
                const moe::index_t e = r.expert[std::size_t(i)];
                weight[std::size_t(i)] = e < 0 ? T(0) : std::exp(scores(t, e) - largest);
                sum += weight[std::size_t(i)];
            }
            for (moe::index_t i = r.begin(t); i < r.end(t); ++i) {
                if (r.expert[std::size_t(i)] >= 0) weight[std::size_t(i)] /= sum;
            }
        });
    }

    // The adjoint of weigh: d.weight -> d.scores. Selecting itself has no gradient.
    template <class B, class T>
    void backward(B& b, const moe::routing<T>&, const moe::routing<T>& after, moe::adjoint<T>& d) const {
        const auto r = after.routes;
        const auto d_weight = d.weight;
        const auto d_scores = d.scores;
        moe::kernels_of<B>::for_rows(b, after.tokens(), [=] MOE_ROW(moe::index_t t) {
            T mean = T(0);
            for (moe::index_t i = r.begin(t); i < r.end(t); ++i) {
                mean += r.weight[std::size_t(i)] * d_weight[std::size_t(i)];
            }
            for (moe::index_t i = r.begin(t); i < r.end(t); ++i) {
                const moe::index_t e = r.expert[std::size_t(i)];
                if (e >= 0) d_scores(t, e) += r.weight[std::size_t(i)] * (d_weight[std::size_t(i)] - mean);
            }
        });
    }
};
