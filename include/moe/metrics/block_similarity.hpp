// metrics/block_similarity: the residual stream before and after a block -> how little the block turns it
// SPDX-License-Identifier: Apache-2.0
//
//     mean over live tokens t of  <before[t], after[t]> / (|before[t]| |after[t]|)
//
// A block that leaves the direction of its tokens alone is near 1 and can do with fewer bits; 1 - similarity is the
// score by which blocks are ranked (allocate_top). Source: QuantMoE-Bench 2024, which trains a predictor of it; it is
// measured here.
// edges         a row of zeros has similarity 0; no live token: 0; NaN stays
// errors        shapes that differ, a mask of another length: shape_error
#pragma once

#include <cmath>
#include <cstdint>

#include "moe/core/view.hpp"

MOE_BEGIN

// before, after [T,D]; mask [T], 0 = padding, or empty.
template <class T>
double block_similarity(matrix_view<const T> before, input_view<T> after, std::span<const std::uint8_t> mask = {}) {
    detail::require_shape("block_similarity: after", after, before.rows, before.cols);
    if (!mask.empty()) detail::require_size("block_similarity: mask", mask, std::size_t(before.rows));
    double sum = 0, tokens = 0;
    for (index_t t = 0; t < before.rows; ++t) {
        if (!mask.empty() && mask[std::size_t(t)] == 0) continue;
        double both = 0, first = 0, second = 0;
        for (index_t j = 0; j < before.cols; ++j) {
            const double a = double(before(t, j)), b = double(after(t, j));
            both += a * b;
            first += a * a;
            second += b * b;
        }
        sum += first == 0 || second == 0 ? 0 : both / (std::sqrt(first) * std::sqrt(second));
        tokens += 1;
    }
    return tokens == 0 ? 0 : sum / tokens;
}

MOE_END
