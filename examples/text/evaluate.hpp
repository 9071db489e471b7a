// examples/text/evaluate: a model and a part of a text -> bits per character, and who served what
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "corpus.hpp"
#include "model.hpp"

namespace text {

// What one layer's experts did. The character is the one read; the prediction is of the next one.
struct service {
    std::vector<double> characters;            // [C] how often each was read
    std::vector<std::vector<double>> reached;  // [E][C] how often it reached the expert

    double load(std::size_t expert) const;
    std::vector<double> loads() const;
    // Of the occurrences of a character, the part that reached the expert.
    double share(std::size_t expert, int character) const;
};

struct evaluation {
    double bits = 0;      // per character
    double accuracy = 0;  // characters that were held the likeliest, 0 to 1
    double characters_per_s = 0;
    std::array<service, layers> who;
    moe::matrix<double> pairs;  // [E,E] characters that reached expert i of the first layer and j of the second
};

// Predicts classes [first, last) of the text, each from the `context` in front of it. `first` is at least 1. Experts
// from `experts` on are null experts and not reported.
evaluation evaluate(const model& m, const corpus& text, std::size_t first, std::size_t last, int experts,
                    moe::cpu& cpu);

// Which experts of the last layer the characters in front of [first, last) use: a line per character, the numbers of
// its experts in the order of its routes. For bench/, whose load `trace` it is.
std::string routes_text(const model& m, const corpus& text, std::size_t first, std::size_t last, int experts,
                        moe::cpu& cpu);

}  // namespace text
