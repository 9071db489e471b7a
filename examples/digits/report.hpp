// examples/digits/report: results -> a JSON file
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace digits {

struct results {
    double accuracy = 0;        // of the mixture, held-out images, 0 to 1
    double dense_accuracy = 0;  // of the dense model, the same images
    std::vector<int> load;      // held-out images that reached each expert
    double loss = 0;            // cross entropy of the mixture on the training images as they are
    double seconds = 0;         // from start to end
    double tokens_per_s = 0;    // images per second, training of the mixture; with --load its held-out pass
    std::uint64_t weights_hash = 0;
};

std::string json_text(const results& r);

}  // namespace digits
