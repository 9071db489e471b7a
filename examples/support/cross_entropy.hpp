// examples/support/cross_entropy: logits [T,C] and labels -> loss, hits and d_logits
// SPDX-License-Identifier: Apache-2.0
//
//     loss      = sum over t of -<target[t], log softmax(logits[t])>,   target = (1 - s) onehot(label) + s / C
//     d_logits  = (softmax(logits) - target) / T
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "moe/core/view.hpp"

namespace example {

struct score {
    double loss = 0;      // summed over rows
    double surprise = 0;  // summed -log softmax of the labels: the loss without smoothing, in nats
    int hits = 0;         // rows whose best logit is their label's
};

// `d_logits` may be empty.
template <class T>
score cross_entropy(moe::matrix_view<const T> logits, std::span<const int> labels, double smoothing,
                    moe::matrix_view<T> d_logits) {
    score out;
    const auto classes = static_cast<std::size_t>(logits.cols);
    for (moe::index_t t = 0; t < logits.rows; ++t) {
        const std::span<const T> row = logits[t];
        const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(t)]);
        const auto best = std::max_element(row.begin(), row.end());
        out.hits += static_cast<std::size_t>(best - row.begin()) == label ? 1 : 0;
        double sum = 0;
        for (const T z : row) sum += std::exp(static_cast<double>(z) - static_cast<double>(*best));
        const double log_sum = std::log(sum);
        for (std::size_t c = 0; c < classes; ++c) {
            const double log_p = static_cast<double>(row[c]) - static_cast<double>(*best) - log_sum;
            const double target = smoothing / static_cast<double>(classes) + (c == label ? 1 - smoothing : 0);
            out.loss -= target * log_p;
            if (c == label) out.surprise -= log_p;
            if (!d_logits.empty()) d_logits[t][c] = static_cast<T>((std::exp(log_p) - target) / logits.rows);
        }
    }
    return out;
}

}  // namespace example
