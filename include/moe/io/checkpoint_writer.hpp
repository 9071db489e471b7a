// io: tensors -> a folder that checkpoint opens: model.safetensors, or shards and their index
// SPDX-License-Identifier: Apache-2.0
//
//     moe::checkpoint_writer out("path/to/model", declarations, {.shard_bytes = 5'000'000'000});
//     out.write("gate.weight", gate.view());  // as safetensors_writer
//     out.finish();
//
// Tensors fill shards in the order of the declarations: a shard is closed before the tensor that would take it above
// shard_bytes, and a tensor that is larger itself gets a shard of its own. What fits into one file becomes
// model.safetensors, else files are named model-00001-of-00003.safetensors and so on, and model.safetensors.index.json
// says what is where.
//
// errors        io_error naming file, tensor, wanted and got, as safetensors_writer; a folder that holds a checkpoint
//               already, because its files would stand beside the new ones
// source        github.com/huggingface/huggingface_hub, split_state_dict_into_shards_factory, version 2.4
#pragma once

#include <cstdio>

#include "moe/io/safetensors_writer.hpp"

MOE_BEGIN

struct checkpoint_options {
    std::uint64_t shard_bytes = 5'000'000'000;
    std::map<std::string, std::string> metadata = {};  // of every file; transformers asks for {"format", "pt"}
};

class checkpoint_writer {
public:
    checkpoint_writer(const std::string& folder, const std::vector<tensor_declaration>& tensors,
                      const checkpoint_options& options = {})
        : folder_(folder) {
        std::error_code ignored;
        std::filesystem::create_directories(folder_, ignored);
        for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
            if (!std::filesystem::exists(folder_ / name, ignored)) continue;
            throw io_error(detail::wanted_got(folder, "a folder without a checkpoint", name));
        }
        const auto shards = split(tensors, options.shard_bytes);
        for (std::size_t i = 0; i < shards.size(); ++i) {
            const std::string name = file_name(i, shards.size());
            files_.emplace_back((folder_ / name).string(), shards[i], options.metadata);
            for (const tensor_declaration& t : shards[i]) place(t.name, i, name);
        }
    }

    template <class U>
    void write(std::string_view name, matrix_view<U> rows) {
        file_of(name).write(name, rows);
    }
    template <class U>
    void write(std::string_view name, std::span<U> values) {
        file_of(name).write(name, values);
    }

    void copy(const stored_tensor& from) { file_of(from.name).copy(from); }

    void finish() {
        for (safetensors_writer& file : files_) file.finish();
        if (files_.size() < 2) return;
        const json_value index{{"metadata", {{"total_size", total_}}}, {"weight_map", names_}};
        const std::string text = index.dump(2, ' ', true) + "\n";
        detail::unfinished_file out((folder_ / "model.safetensors.index.json").string());
        out.write(0, text);
        out.keep();
    }

private:
    std::vector<std::vector<tensor_declaration>> split(const std::vector<tensor_declaration>& tensors,
                                                       std::uint64_t most) {
        std::vector<std::vector<tensor_declaration>> shards;
        std::vector<tensor_declaration> open;
        std::uint64_t size = 0;
        for (const tensor_declaration& t : tensors) {
            const std::uint64_t bytes = detail::bytes_of(t, folder_.string() + ": tensor " + detail::excerpt(t.name));
            total_ += bytes;
            if (bytes > most) {
                shards.push_back({t});
                continue;
            }
            if (bytes > most - size) {
                shards.push_back(std::exchange(open, {}));
                size = 0;
            }
            open.push_back(t);
            size += bytes;
        }
        if (!open.empty() || shards.empty()) shards.push_back(std::move(open));
        return shards;
    }

    static std::string file_name(std::size_t i, std::size_t count) {
        if (count == 1) return "model.safetensors";
        char name[80];
        std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, count);
        return name;
    }

    void place(const std::string& tensor, std::size_t shard, const std::string& file) {
        names_.emplace(tensor, file);
        if (!shard_of_.emplace(tensor, shard).second) {
            throw io_error(detail::wanted_got(folder_.string(), "every tensor once", detail::excerpt(tensor)));
        }
    }

    safetensors_writer& file_of(std::string_view name) {
        const auto found = shard_of_.find(name);
        if (found != shard_of_.end()) return files_[found->second];
        throw io_error(detail::wanted_got(folder_.string(), "a tensor that was declared", detail::excerpt(name)));
    }

    std::filesystem::path folder_;
    std::uint64_t total_ = 0;
    std::vector<safetensors_writer> files_;
    std::map<std::string, std::size_t, std::less<>> shard_of_;
    std::map<std::string, std::string> names_;
};

MOE_END
