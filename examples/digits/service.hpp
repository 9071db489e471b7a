// examples/digits/service: who serves what: how many images of each digit reached each expert
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "data.hpp"

namespace digits {

struct service {
    std::array<int, classes> images{};              // held-out images of each digit
    std::vector<std::array<int, classes>> reached;  // per expert

    // Images that reached the expert.
    int load(std::size_t expert) const;
    int routes() const;
    double max_over_mean() const;
    // Of the images of a digit, the part that reached the expert.
    double share(std::size_t expert, std::size_t digit) const;
    // Experts that an image of a digit reached, on average.
    double experts_per_image(std::size_t digit) const;
    double experts_per_image() const;
};

// One line per expert: its images, their share as number and bar, the digits it serves most.
std::string load_table(const service& who);

// A heat map, experts x digits, as an SVG document.
std::string picture(const service& who, const std::string& subtitle);

}  // namespace digits
