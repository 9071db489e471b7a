// examples/text/train: the training part -> a trained model
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "corpus.hpp"
#include "model.hpp"

namespace text {

struct progress {
    int step = 0;     // the last one that is counted here
    double bits = 0;  // per character, training part, since the last report
    double characters_per_s = 0;
    std::array<double, layers> max_over_mean{};  // of the routes since the last report
};

// AdamW on batches of sequences that begin anywhere in the training part, with a warm-up and a cosine to 0; now and
// then a character that the model reads is replaced by the unknown class. Calls `show` about twenty times. Returns the
// last report, its speed over the whole training.
progress train(model& m, const corpus& text, const options& chosen, moe::cpu& cpu,
               const std::function<void(const progress&)>& show);

}  // namespace text
