// io: model.safetensors.index.json -> which file holds which tensor
// SPDX-License-Identifier: Apache-2.0
//
//     {"metadata": {...}, "weight_map": {TENSOR: FILE, ...}}
//
// Files are named without a folder and stand beside the index: a name that leads elsewhere is refused.
//
// errors        io_error naming file, tensor, wanted and got
// source        github.com/huggingface/huggingface_hub, serialization of sharded checkpoints
#pragma once

#include <map>

#include "moe/io/json.hpp"

MOE_BEGIN

struct shard_index {
    std::map<std::string, std::string> file_of;  // by tensor
};

namespace detail {

// Whether it names a file of the folder it is looked up in, on every system.
inline bool is_plain_file_name(std::string_view name) {
    if (name.empty() || name == "." || name == "..") return false;
    for (const char c : name) {
        if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20) return false;
    }
    return true;
}

}  // namespace detail

// `path` is only named in errors.
inline shard_index parse_shard_index(std::string_view text, const std::string& path) {
    const json_value index = parse_json(text, path);
    const auto fail = [&](const std::string& what, const std::string& wanted, const std::string& got) {
        throw io_error(detail::wanted_got(path + ": " + what, wanted, got));
    };
    if (!index.is_object()) fail("index", "an object", index.type_name());
    const auto map = index.find("weight_map");
    if (map == index.end()) fail("weight_map", "an object", "none");
    if (!map->is_object()) fail("weight_map", "an object", map->type_name());
    shard_index out;
    for (const auto& [name, file] : map->items()) {
        const std::string what = "tensor " + detail::excerpt(name);
        if (!file.is_string()) fail(what, "the name of a file", file.type_name());
        const std::string& text_of = file.get_ref<const std::string&>();
        if (!detail::is_plain_file_name(text_of)) {
            fail(what, "the name of a file beside the index", detail::excerpt(text_of));
        }
        out.file_of.emplace(name, text_of);
    }
    return out;
}

MOE_END
