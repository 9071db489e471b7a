// SPDX-License-Identifier: Apache-2.0
#include "corpus.hpp"

#include <cmath>

#include "support/command_line.hpp"
#include "support/files.hpp"

namespace text {

namespace {

constexpr std::size_t least_bytes = 100, most_bytes = std::size_t{1} << 28;

std::string hexadecimal(unsigned char byte) {
    constexpr const char* digits = "0123456789abcdef";
    return {digits[byte >> 4], digits[byte & 15]};
}

bool plain(unsigned char byte) { return byte > 0x20 && byte < 0x7F; }

double mean_of_held_out(const corpus& text, double sum) { return sum / static_cast<double>(text.held_out()); }

}  // namespace

std::string load_text(const std::string& file) {
    std::string content;
    try {
        content = example::read_file("--text", file, most_bytes);
    } catch (const example::usage_error& e) {
        if (file != default_text) throw;
        throw example::usage_error(std::string(e.what()) + "; pass --text FILE with a text of yours");
    }
    if (content.size() < least_bytes) {
        throw example::usage_error("--text: " + file + ": wanted at least " + std::to_string(least_bytes) +
                                   " bytes, got " + std::to_string(content.size()));
    }
    return content;
}

vocabulary::vocabulary(std::span<const char> characters) {
    class_.fill(-1);
    for (const char c : characters) class_[static_cast<unsigned char>(c)] = 0;
    for (int byte = 0; byte < 256; ++byte) {
        int& found = class_[static_cast<std::size_t>(byte)];
        if (found < 0) continue;
        found = static_cast<int>(bytes_.size());
        bytes_.push_back(static_cast<unsigned char>(byte));
    }
}

int vocabulary::class_of(char c) const {
    const int found = class_[static_cast<unsigned char>(c)];
    return found < 0 ? unknown() : found;
}

std::string vocabulary::name(int c) const {
    if (c == unknown()) return "unknown";
    const auto byte = static_cast<unsigned char>(character(c));
    if (byte == ' ') return "sp";
    if (byte == '\n') return "nl";
    if (byte == '\t') return "tab";
    return plain(byte) ? std::string(1, character(c)) : hexadecimal(byte);
}

std::size_t training_size(std::size_t characters) { return characters - characters / 10; }

corpus classify(const std::string& characters, const vocabulary& known) {
    corpus out;
    out.classes.reserve(characters.size());
    for (const char c : characters) out.classes.push_back(known.class_of(c));
    out.train = training_size(characters.size());
    return out;
}

baselines counted(const corpus& text, int classes) {
    const auto n = static_cast<std::size_t>(classes);
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(text.classes[i]); };
    std::vector<double> single(n), first(n), pair(n * n);
    for (std::size_t i = 0; i < text.train; ++i) {
        ++single[at(i)];
        if (i == 0) continue;
        ++first[at(i - 1)];
        ++pair[at(i - 1) * n + at(i)];
    }
    const double characters = static_cast<double>(text.train);
    double unigram = 0, bigram = 0;
    for (std::size_t i = text.train; i < text.classes.size(); ++i) {
        unigram -= std::log2((single[at(i)] + 1) / (characters + classes));
        bigram -= std::log2((pair[at(i - 1) * n + at(i)] + 1) / (first[at(i - 1)] + classes));
    }
    return {mean_of_held_out(text, unigram), mean_of_held_out(text, bigram)};
}

std::string printable(const std::string& characters) {
    std::string out;
    for (const char c : characters) {
        const auto byte = static_cast<unsigned char>(c);
        if (plain(byte) || c == ' ' || c == '\n')
            out += c;
        else
            out += "\\x" + hexadecimal(byte);
    }
    return out;
}

}  // namespace text
