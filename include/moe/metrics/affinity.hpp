// metrics/affinity: the plans of two layers, or of one layer twice -> which experts go together
// SPDX-License-Identifier: Apache-2.0
//
//     affinity(a, b) [Ea,Eb]     number of (route of a, route of b) pairs of the same token with experts i and j
//     conditional(A)             every row divided by its sum: how likely j is after i; a row of zeros stays
//     overlap(a, b)              mean over tokens with a route in a of |experts in both| / |experts in a|
//
// Source: ExFlow (inter-layer affinity); router saturation and change rate are overlaps of one layer's plans at two steps,
// 1 - overlap is the share of picks that changed. Plans of other token counts are refused.
// cost          O(R K log E); affinity and conditional allocate their result
#pragma once

#include <algorithm>

#include "moe/core/plan.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

namespace detail {

inline void require_same_tokens(const char* metric, const plan_view& a, const plan_view& b) {
    if (a.tokens == b.tokens) return;
    throw_shape(std::string(metric) + ": tokens of the second plan", std::to_string(a.tokens), std::to_string(b.tokens));
}

inline index_t expert_of_row(const plan_view& plan, index_t row) {
    const auto next = std::upper_bound(plan.offset.begin(), plan.offset.end(), row);
    return static_cast<index_t>(next - plan.offset.begin()) - 1;
}

inline std::span<const index_t> rows_of_token(const plan_view& plan, index_t t) {
    const std::size_t first = static_cast<std::size_t>(plan.token_offset[static_cast<std::size_t>(t)]);
    const std::size_t last = static_cast<std::size_t>(plan.token_offset[static_cast<std::size_t>(t) + 1]);
    return plan.token_row.subspan(first, last - first);
}

}  // namespace detail

inline matrix<double> affinity(const plan_view& a, const plan_view& b) {
    detail::require_same_tokens("affinity", a, b);
    matrix<double> pairs(a.experts(), b.experts());
    for (index_t t = 0; t < a.tokens; ++t) {
        for (const index_t first : detail::rows_of_token(a, t)) {
            for (const index_t second : detail::rows_of_token(b, t)) {
                pairs(detail::expert_of_row(a, first), detail::expert_of_row(b, second)) += 1.0;
            }
        }
    }
    return pairs;
}

inline matrix<double> conditional(matrix<double> pairs) {
    for (index_t i = 0; i < pairs.rows(); ++i) {
        double sum = 0.0;
        for (index_t j = 0; j < pairs.cols(); ++j) sum += pairs(i, j);
        for (index_t j = 0; sum != 0.0 && j < pairs.cols(); ++j) pairs(i, j) /= sum;
    }
    return pairs;
}

inline double overlap(const plan_view& a, const plan_view& b) {
    detail::require_same_tokens("overlap", a, b);
    double sum = 0.0;
    double tokens = 0.0;
    for (index_t t = 0; t < a.tokens; ++t) {
        const auto in_a = detail::rows_of_token(a, t);
        if (in_a.empty()) continue;
        double both = 0.0;
        for (const index_t first : in_a) {
            for (const index_t second : detail::rows_of_token(b, t)) {
                both += detail::expert_of_row(a, first) == detail::expert_of_row(b, second) ? 1.0 : 0.0;
            }
        }
        sum += both / static_cast<double>(in_a.size());
        tokens += 1.0;
    }
    return tokens > 0.0 ? sum / tokens : 0.0;
}

MOE_END
