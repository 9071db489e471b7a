// examples/text/corpus: a file -> classes of characters, a training and a held-out part, and what counting can predict
// SPDX-License-Identifier: Apache-2.0
//
// A character is a byte. The classes are the bytes of the training part, ascending, and one more for all others.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace text {

inline constexpr const char* default_text = "/usr/share/common-licenses/GPL-3";

// The bytes of a file, at least 100. Throws usage_error.
std::string load_text(const std::string& file);

class vocabulary {
public:
    vocabulary() { class_.fill(-1); }
    explicit vocabulary(std::span<const char> characters);

    int classes() const { return static_cast<int>(bytes_.size()) + 1; }
    int unknown() const { return static_cast<int>(bytes_.size()); }
    int class_of(char c) const;
    // Not of the unknown class.
    char character(int c) const { return static_cast<char>(bytes_[static_cast<std::size_t>(c)]); }
    // As it stands in tables and pictures: the character itself, "sp", "nl", "tab", two hexadecimal digits, or "?".
    std::string name(int c) const;

private:
    std::vector<unsigned char> bytes_;
    std::array<int, 256> class_{};  // -1: unknown
};

// All classes of a text; what stands behind `train` is held out.
struct corpus {
    std::vector<int> classes;
    std::size_t train = 0;

    std::size_t held_out() const { return classes.size() - train; }
};

// The last tenth is held out.
std::size_t training_size(std::size_t characters);
corpus classify(const std::string& characters, const vocabulary& known);

// Mean of -log2 p over the held-out characters, with p counted in the training part, every count raised by one.
struct baselines {
    double unigram = 0;  // p(c)                = (count(c) + 1) / (characters + classes)
    double bigram = 0;   // p(c | the last one) = (count(last, c) + 1) / (count(last, any) + classes)
};
baselines counted(const corpus& text, int classes);

// Printable characters and line ends as they are, others as \xNN.
std::string printable(const std::string& characters);

}  // namespace text
