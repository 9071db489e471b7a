// examples/digits/data: digits.csv -> images, a stratified split, distorted copies
// SPDX-License-Identifier: Apache-2.0
//
// All chance comes from moe::random_stream: what is drawn for an image depends on (seed, purpose, epoch, image) alone,
// never on the order of work or on a standard library's generator.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace digits {

inline constexpr int side = 8, pixels = side * side, classes = 10;

struct image {
    std::array<float, pixels> pixel;  // 0 paper ... 16 ink, row by row
    int label;
};

// Throws usage_error naming the file, the line, what was wanted and what was got.
std::vector<image> load_images(const std::string& file);

struct split {
    std::vector<int> train, held_out;  // numbers of images, ascending
};

// A random third of every class, rounded, is held out.
split split_by_class(const std::vector<image>& images, std::uint64_t seed);

// The order in which an epoch visits the images.
std::vector<int> shuffled(const std::vector<int>& numbers, std::uint64_t seed, int epoch);

// What the model sees: pixels from -1 to 1.
void plain_features(const image& from, std::span<float> features);

// The image turned, stretched, slanted and moved a little about its centre, bilinear between pixels, paper outside.
void distorted_features(const image& from, std::uint64_t seed, int epoch, int number, std::span<float> features);

}  // namespace digits
