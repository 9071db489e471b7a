// io: a model in one GGUF file or in several
// SPDX-License-Identifier: Apache-2.0
//
// A model is split as NAME-00001-of-00003.gguf and so on; split.count of the first file, which has the metadata, says
// into how many, split.no of each which one it is, counted from 0.
//
// errors        io_error naming the file: a split file that is not the first, one that is not there or is another's
// source        github.com/ggml-org/llama.cpp, tools/gguf-split and llama_split_path in src/llama.cpp
#pragma once

#include <cstdio>

#include "moe/io/gguf.hpp"

MOE_BEGIN

namespace detail {

inline std::uint64_t split_number(const gguf_file& file, const char* key, std::uint64_t otherwise) {
    const gguf_value* v = file.value(key);
    if (v == nullptr) return otherwise;
    const json_value n = v->json();
    const bool fits = n.is_number_integer() && n.get<double>() >= 0.0 && n.get<double>() <= 99999.0;
    if (!fits) throw io_error(wanted_got(file.path() + ": " + key, "a number from 0 to 99999", n.dump()));
    return n.get<std::uint64_t>();
}

inline std::string split_ending(std::uint64_t file, std::uint64_t count) {
    char text[64];
    std::snprintf(text, sizeof text, "-%05u-of-%05u.gguf", static_cast<unsigned>(file + 1),
                  static_cast<unsigned>(count));
    return text;
}

// All files of the model whose first file this is.
inline std::vector<gguf_file> open_gguf_files(const std::string& path) {
    std::vector<gguf_file> files;
    files.emplace_back(path);
    const std::uint64_t count = split_number(files[0], "split.count", 1);
    if (count < 2) return files;
    const std::string ending = split_ending(0, count);
    if (split_number(files[0], "split.no", 0) != 0 || !path.ends_with(ending)) {
        throw io_error(
            wanted_got(path, "the first file of the model, whose name ends in " + ending, "another of its files"));
    }
    const std::string start = path.substr(0, path.size() - ending.size());
    for (std::uint64_t i = 1; i < count; ++i) {
        files.emplace_back(start + split_ending(i, count));
        const gguf_file& next = files.back();
        if (split_number(next, "split.no", 0) == i && split_number(next, "split.count", 1) == count) continue;
        throw io_error(wanted_got(next.path(), std::string("file ") + std::to_string(i + 1) + " of " +
                                                   std::to_string(count) + " of a model", "another"));
    }
    return files;
}

}  // namespace detail

MOE_END
