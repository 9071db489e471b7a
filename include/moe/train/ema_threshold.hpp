// train/balance: scores -> threshold, a running mean of what the K-th best score per token is
// SPDX-License-Identifier: Apache-2.0
//
//     theta = the n-th largest of all scores of live tokens, n = per_token * live tokens
//     tau = beta * tau + (1 - beta) * theta            the first update sets tau = theta
//
// For selectors with a threshold at inference, where there is no batch to rank in: routes with a score of at least tau are as
// many as in training. Source: Expert Race (global top-K in training). Masked tokens take no part. n is rounded down, is at
// least 1 and at most the number of scores. No live token: tau stays. NaN ranks last, -inf is a score like others here.
// errors        beta outside [0, 1), per_token not above 0
// cost          O(T E), scratch [T E]
#pragma once

#include <algorithm>

#include "moe/core/order.hpp"
#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct ema_threshold {
    static constexpr const char* name = "ema_threshold";

    double beta = 0.99;
    double per_token = 1.0;     // routes per token, on average
    std::uint64_t updates = 0;  // state: how many there were

    // Returns theta of this batch; tau is the state of a selector, in any floating-point type.
    template <class B, class T, class Tau>
    double update(B& b, Tau& tau, const routing<T>& s) {
        require_host_readable<B>();
        if (!(beta >= 0.0 && beta < 1.0)) {
            throw_value("ema_threshold.beta", "at least 0 and below 1", std::to_string(beta));
        }
        if (!(per_token > 0.0 && per_token < 1e9)) {
            throw_value("ema_threshold.per_token", "above 0", std::to_string(per_token));
        }
        const detail::token_filter live = detail::live_tokens(s.in());
        arena_frame frame(b.scratch());
        const std::span<T> all =
            b.scratch().template take<T>(std::size_t(s.tokens()) * static_cast<std::size_t>(s.scores.cols));
        std::size_t n = 0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            for (index_t e = 0; live(t) && e < s.scores.cols; ++e) all[n++] = s.scores(t, e);
        }
        if (n == 0) return static_cast<double>(tau);
        const double wanted = per_token * live.count(0, s.tokens());
        const std::size_t place = std::min(n, std::max(std::size_t{1}, static_cast<std::size_t>(wanted))) - 1;
        std::nth_element(all.begin(), all.begin() + std::ptrdiff_t(place), all.begin() + std::ptrdiff_t(n),
                         [](T x, T y) { return ranks_before(x, 0, y, 0); });
        const double theta = static_cast<double>(all[place]);
        tau = static_cast<Tau>(updates++ == 0 ? theta : beta * static_cast<double>(tau) + (1.0 - beta) * theta);
        return theta;
    }
};

MOE_END
