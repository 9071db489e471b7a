// examples/digits/cross_entropy: logits [T,10] and labels -> loss, hits and d_logits
// SPDX-License-Identifier: Apache-2.0
//
//     loss      = sum over t of -<target[t], log softmax(logits[t])>,   target = (1 - s) onehot(label) + s / 10
//     d_logits  = (softmax(logits) - target) / T
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "data.hpp"
#include "moe/core/view.hpp"

namespace digits {

struct score {
    double loss = 0;  // summed over images
    int hits = 0;     // images whose best logit is their label's
};

// `d_logits` may be empty.
inline score cross_entropy(moe::matrix_view<const float> logits, std::span<const int> labels, double smoothing,
                           moe::matrix_view<float> d_logits) {
    score out;
    for (moe::index_t t = 0; t < logits.rows; ++t) {
        const std::span<const float> row = logits[t];
        const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(t)]);
        const auto best = std::max_element(row.begin(), row.end());
        out.hits += static_cast<std::size_t>(best - row.begin()) == label ? 1 : 0;
        double sum = 0;
        for (const float z : row) sum += std::exp(static_cast<double>(z) - *best);
        for (std::size_t c = 0; c < classes; ++c) {
            const double log_p = static_cast<double>(row[c]) - *best - std::log(sum);
            const double target = smoothing / classes + (c == label ? 1 - smoothing : 0);
            out.loss -= target * log_p;
            if (!d_logits.empty()) d_logits[t][c] = static_cast<float>((std::exp(log_p) - target) / logits.rows);
        }
    }
    return out;
}

}  // namespace digits
