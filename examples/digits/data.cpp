// SPDX-License-Identifier: Apache-2.0
#include "data.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <utility>

#include "moe/core/rng.hpp"
#include "options.hpp"

namespace digits {

namespace {

// The largest distortions, chosen by cross-validation within the training part.
constexpr double most_turn = 10 * 3.141592653589793 / 180, most_stretch = 0.1, most_slant = 0.1, most_shift = 0.7;

image read_line(const std::string& line, const std::string& place) {
    image out{};
    const char* at = line.data();
    const char* const end = at + line.size();
    for (int i = 0; i <= pixels; ++i) {
        const int most = i < pixels ? 16 : classes - 1;
        int value = -1;
        const auto [stop, fault] = std::from_chars(at, end, value);
        const bool last = i == pixels;
        if (fault != std::errc() || value < 0 || value > most || (last ? stop != end : stop == end || *stop != ',')) {
            throw usage_error(place + ", column " + std::to_string(i + 1) + ": wanted a whole number from 0 to " +
                              std::to_string(most) + (last ? " that ends the line" : " and a comma"));
        }
        if (last)
            out.label = value;
        else
            out.pixel[static_cast<std::size_t>(i)] = static_cast<float>(value);
        at = last ? stop : stop + 1;
    }
    return out;
}

// The numbers in ascending order of a random key each.
std::vector<int> by_random_key(const std::vector<int>& numbers, const moe::random_stream& random) {
    std::vector<std::pair<std::uint64_t, int>> keyed;
    keyed.reserve(numbers.size());
    for (const int n : numbers) {
        const auto w = random.words(static_cast<std::uint64_t>(n), 0);
        keyed.emplace_back(std::uint64_t{w[0]} << 32 | w[1], n);
    }
    std::sort(keyed.begin(), keyed.end());
    std::vector<int> out;
    out.reserve(numbers.size());
    for (const auto& [key, n] : keyed) out.push_back(n);
    return out;
}

float feature(double pixel) { return static_cast<float>(pixel / 8 - 1); }

}  // namespace

std::vector<image> load_images(const std::string& file) {
    std::ifstream in(file);
    if (!in) throw usage_error(file + ": cannot be read; --data names the file of images");
    std::vector<image> images;
    std::array<int, classes> count{};
    for (std::string line; std::getline(in, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        images.push_back(read_line(line, file + ", line " + std::to_string(images.size() + 1)));
        ++count[static_cast<std::size_t>(images.back().label)];
    }
    for (std::size_t c = 0; c < classes; ++c) {
        if (count[c] < 3) {
            throw usage_error(file + ": wanted at least 3 images of digit " + std::to_string(c) + ", got " +
                              std::to_string(count[c]));
        }
    }
    return images;
}

split split_by_class(const std::vector<image>& images, std::uint64_t seed) {
    const moe::random_stream random(seed, moe::stream_id("digits.split"));
    split out;
    for (int c = 0; c < classes; ++c) {
        std::vector<int> members;
        for (std::size_t i = 0; i < images.size(); ++i) {
            if (images[i].label == c) members.push_back(static_cast<int>(i));
        }
        members = by_random_key(members, random);
        const auto middle = members.begin() + static_cast<std::ptrdiff_t>((members.size() + 1) / 3);
        out.held_out.insert(out.held_out.end(), members.begin(), middle);
        out.train.insert(out.train.end(), middle, members.end());
    }
    std::sort(out.train.begin(), out.train.end());
    std::sort(out.held_out.begin(), out.held_out.end());
    return out;
}

std::vector<int> shuffled(const std::vector<int>& numbers, std::uint64_t seed, int epoch) {
    return by_random_key(numbers, {seed, moe::stream_id("digits.order"), static_cast<std::uint64_t>(epoch)});
}

void plain_features(const image& from, std::span<float> features) {
    for (std::size_t i = 0; i < pixels; ++i) features[i] = feature(from.pixel[i]);
}

void distorted_features(const image& from, std::uint64_t seed, int epoch, int number, std::span<float> features) {
    const moe::random_stream random(seed, moe::stream_id("digits.distort"), static_cast<std::uint64_t>(epoch));
    std::uint32_t draws = 0;
    const auto draw = [&](double most) {
        return most * (2 * random.uniform(static_cast<std::uint64_t>(number), draws++) - 1);
    };
    const double turn = draw(most_turn), stretch = 1 + draw(most_stretch), slant = draw(most_slant);
    const double shift_x = draw(most_shift), shift_y = draw(most_shift);
    const double cosine = std::cos(turn), sine = std::sin(turn), centre = (side - 1) / 2.0;

    const auto pixel = [&](int row, int column) {
        const bool inside = row >= 0 && row < side && column >= 0 && column < side;
        return inside ? double{from.pixel[static_cast<std::size_t>(row * side + column)]} : 0.0;
    };
    for (int row = 0; row < side; ++row) {
        for (int column = 0; column < side; ++column) {
            // Where this pixel comes from.
            const double x = column - centre, y = row - centre;
            const double from_x = stretch * (cosine * x + (sine + slant) * y) + shift_x + centre;
            const double from_y = stretch * (cosine * y - sine * x) + shift_y + centre;
            const double left = std::floor(from_x), above = std::floor(from_y);
            const double fx = from_x - left, fy = from_y - above;
            const int c = static_cast<int>(left), r = static_cast<int>(above);
            features[static_cast<std::size_t>(row * side + column)] =
                feature((1 - fy) * ((1 - fx) * pixel(r, c) + fx * pixel(r, c + 1)) +
                        fy * ((1 - fx) * pixel(r + 1, c) + fx * pixel(r + 1, c + 1)));
        }
    }
}

}  // namespace digits
