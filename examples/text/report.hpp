// examples/text/report: what was measured -> tables, a picture and a JSON file
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <string>

#include "evaluate.hpp"

namespace text {

// One line per expert: its characters, their share as number and bar, the characters it serves most.
std::string load_table(const service& who, const vocabulary& known);

// How often a character that reached expert i of the first layer reached expert j of the second, in per cent of the
// routes of i: a row and a column per expert; of more than 16 experts only the pairs that occur most.
std::string affinity_table(const moe::matrix<double>& pairs);

// Both layers, experts x frequent characters, and the affinity between them, as one SVG document.
std::string picture(const evaluation& e, const vocabulary& known, const std::string& subtitle);

struct results {
    double bits = 0;                                                  // per character, held out
    double training_bits = std::numeric_limits<double>::quiet_NaN();  // of the last report; NaN: there was no training
    baselines counting;
    evaluation held_out;
    double characters_per_s = 0;   // training; with --load the held-out pass
    double seconds = 0;            // from start to end
    double processor_seconds = 0;  // of all threads
    std::string sample;
    std::uint64_t weights_hash = 0;
};

std::string json_text(const results& r);

}  // namespace text
