// select: keys [T,E] -> ragged choice, all experts above a threshold computed from the keys
// SPDX-License-Identifier: Apache-2.0
//
//     quantile   theta = x[i] + (h - i)(x[i+1] - x[i]) of the n keys x in ascending order, h = q (n - 1), i = floor(h)
//     mean_std   theta = mean + q * standard deviation (divided by n)
//     takes every expert with key > theta (with inclusive: >= theta)
//
// `token_threshold` computes theta from the token's own keys, `batch_threshold` from the keys of all live tokens.
// Source: DynaMoE. Its percentile of a token's own keys is the same number of experts for every token unless keys tie; over
// the batch it gives about E (1 - q) experts per token on average.
// number        at least min_experts (1: nobody is left without), at most max_experts (batch.k where set)
// order         slots best first; keys of -inf and NaN take no part in the statistic; -inf is never taken
// causal        token_threshold yes, batch_threshold no
// errors        value_error: q within [0, 1] for a quantile and finite otherwise; bounds out of order or above E
// cost          O(T E n) for n routes per token; scratch T E keys
// determinism   a pure function of the bits of the token's (the batch's) keys; sums in ascending order of place
#pragma once

#include <algorithm>
#include <cmath>

#include "moe/select/threshold.hpp"

MOE_BEGIN

enum class threshold_statistic { quantile, mean_std };

namespace detail {

// NaN if there is no finite key. Reorders x.
template <class T>
MOE_FN T threshold_of(T* x, std::size_t n, threshold_statistic statistic, double q) {
    if (n == 0) return std::numeric_limits<T>::quiet_NaN();
    if (statistic == threshold_statistic::mean_std) {
        T sum = T(0);
        for (std::size_t i = 0; i < n; ++i) sum += x[i];
        const T mean = sum / T(n);
        T squares = T(0);
        for (std::size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
        return mean + T(q) * std::sqrt(squares / T(n));
    }
    const double place = q * static_cast<double>(n - 1);
    const std::size_t below = static_cast<std::size_t>(place);
    std::nth_element(x, x + below, x + n);
    const T low = x[below];
    const T part = T(place - static_cast<double>(below));
    if (below + 1 == n || part == T(0)) return low;
    const T high = *std::min_element(x + below + 1, x + n);
    return high == low ? low : low + part * (high - low);  // two infinities have no difference
}

template <bool OfBatch>
struct statistic_threshold {
    using role = selector_step;
    static constexpr const char* name = OfBatch ? "batch_threshold" : "token_threshold";
    static constexpr bool causal = !OfBatch;

    threshold_statistic statistic = threshold_statistic::quantile;
    double q = 0.5;
    bool inclusive = false;
    index_t min_experts = 1;
    index_t max_experts = 0;  // 0: all

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        const bool quantile = statistic == threshold_statistic::quantile;
        if (quantile ? !(q >= 0.0 && q <= 1.0) : !std::isfinite(q)) {
            throw_value(std::string(name) + ".q", quantile ? "0 to 1" : "a finite number", std::to_string(q));
        }
        check_bounds(name, in, min_experts, max_experts, columns);
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        return std::int64_t{in.tokens()} * most_experts(in, max_experts, experts);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const index_t most = most_experts(s.in(), max_experts, s.keys.cols);
        const std::size_t columns = std::size_t(s.keys.cols);
        const std::span<T> x = b.scratch().template take<T>(std::size_t(s.tokens()) * columns);
        T of_batch = T(0);
        if (OfBatch) {
            std::size_t n = 0;
            for (index_t t = 0; t < s.tokens(); ++t) {
                if (s.in().live(t)) n += gather(s.keys.row(t), s.keys.cols, x.data() + n);
            }
            of_batch = threshold_of(x.data(), n, statistic, q);
        }
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, keys = s.keys, mask = s.in().mask](index_t t) {
            index_t* expert = c.expert.data() + std::ptrdiff_t(t) * most;
            c.offset[std::size_t(t) + 1] = 0;
            if (!is_live(mask, t)) return;
            T* own = x.data() + std::size_t(t) * columns;
            T theta = of_batch;
            if (!OfBatch) theta = threshold_of(own, gather(keys.row(t), keys.cols, own), statistic, q);
            c.offset[std::size_t(t) + 1] =
                take_above(keys.row(t), keys.cols, theta, inclusive, min_experts, most, expert);
        });
        close_gaps(c, s.tokens(), most);
    }

private:
    // Copies what takes part in the statistic.
    template <class T>
    MOE_FN static std::size_t gather(const T* key, index_t columns, T* to) {
        std::size_t n = 0;
        for (index_t e = 0; e < columns; ++e) {
            if (!excluded(key[e]) && key[e] == key[e]) to[n++] = key[e];
        }
        return n;
    }
};

}  // namespace detail

using token_threshold = detail::statistic_threshold<false>;
using batch_threshold = detail::statistic_threshold<true>;

MOE_END
