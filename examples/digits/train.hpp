// examples/digits/train: a classifier and the training images -> a trained classifier; images -> how well it does
// SPDX-License-Identifier: Apache-2.0
//
// All settings were chosen by cross-validation within the training part. The same seed gives the same bits for any
// number of threads.
#pragma once

#include <functional>
#include <vector>

#include "data.hpp"
#include "model.hpp"
#include "service.hpp"

namespace digits {

struct progress {
    int epoch;
    double loss;      // per distorted image, with the balance loss
    double accuracy;  // on the distorted images, as they came
    double tokens_per_s;
    double max_over_mean;  // of the routes of the epoch
};

// AdamW on batches of 32 distorted images, with a warm-up and a cosine to 0. Returns images per second.
double train(classifier& model, const std::vector<image>& images, const std::vector<int>& numbers,
             const options& chosen, moe::cpu& cpu, const std::function<void(const progress&)>& show);

struct evaluation {
    double accuracy = 0, loss = 0;  // loss: cross entropy per image
    double tokens_per_s = 0;
    service who;
};

// The images as they are, in one batch. With more experts than `experts` the last are null experts, not reported.
evaluation evaluate(const classifier& model, const std::vector<image>& images, const std::vector<int>& numbers,
                    int experts, moe::cpu& cpu);

}  // namespace digits
