// examples/text/sample: a model and the beginning of a text -> characters that could follow
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "corpus.hpp"
#include "model.hpp"

namespace text {

struct sample_options {
    int characters = 0;
    double temperature = 1;  // 0: always the likeliest, the lower class where two are equal
    std::uint64_t seed = 0;
};

// Draws one character after the other; the window of the last `context` characters moves on. The model is causal, so
// that its logits of the last character are those of training, and only that one need pass through the layers. `begin`
// has at least one class. The unknown class is never drawn.
std::string sample(const model& m, const vocabulary& known, std::span<const int> begin, const sample_options& o,
                   moe::cpu& cpu);

}  // namespace text
