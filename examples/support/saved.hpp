// examples/support/saved: settings and a model in one file, bit for bit
// SPDX-License-Identifier: Apache-2.0
//
// The file is two of the library's: what settles the model's shape, then the model. Each is checked as a whole by
// moe::from_bytes before anything is set.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "files.hpp"
#include "moe/io/save.hpp"

namespace example {

// Throws usage_error if the file cannot be written.
template <class Settings, class Model>
void save_model(const std::string& file, Settings& settings, Model& model) {
    std::string content;
    for (const auto& bytes : {moe::to_bytes(settings), moe::to_bytes(model)})
        content.append(bytes.begin(), bytes.end());
    write_file("--save", file, content);
}

// Sets `settings`, then what `make()` returns, which sees them. Throws usage_error or moe::io_error.
template <class Settings, class Make>
auto load_model(const std::string& file, Settings& settings, const Make& make) {
    const std::string content = read_file("--load", file, std::size_t{1} << 32);
    const std::vector<unsigned char> bytes(content.begin(), content.end());
    const std::size_t first = moe::to_bytes(settings).size();
    if (bytes.size() < first) throw usage_error("--load: " + file + " was not written by --save, or was cut");
    moe::from_bytes(std::span(bytes).first(first), settings, file);
    auto model = make();
    moe::from_bytes(std::span(bytes).subspan(first), model, file);
    return model;
}

// The options that `words` (without the program's name) would have set: what stands in a file meets the same checks as
// a command line. Faults name the file.
template <class Options>
Options options_from_file(const std::string& file, std::vector<std::string> words,
                          Options (*read)(int, const char* const*)) {
    words.insert(words.begin(), "saved");
    std::vector<const char*> pointers;
    for (const std::string& w : words) pointers.push_back(w.c_str());
    try {
        return read(static_cast<int>(pointers.size()), pointers.data());
    } catch (const usage_error& e) {
        throw usage_error("--load: " + file + ": " + e.what());
    }
}

}  // namespace example
