// io: a checkpoint in safetensors or GGUF files -> its weights, by name
// SPDX-License-Identifier: Apache-2.0
//
//     moe::checkpoint model("path/to/model");  // a folder, a .safetensors file, a .safetensors.index.json or a .gguf
//     model.read("model.layers.0.mlp.gate.weight", gate.view());
//     model.read("model.layers.0.mlp.experts.down_proj", e * d, down.view());  // the rows of expert e of [E,D,H]
//     for (const moe::checkpoint_tensor& t : model.tensors()) ...              // name, shape, how it is packed
//
// A folder holds model.safetensors or, looked for next, model.safetensors.index.json with the shards it names; of a
// shard only the tensors count that the index places in it. Of a model in several GGUF files the first is named, and
// the others stand beside it (gguf_files.hpp). Files are mapped: nothing is loaded before it is read, and
// reading converts straight into the caller's memory. Weights that are stored as codes and scales appear once, under
// their own name (checkpoint_tensor.hpp); stored(name) is what lies in the files. One object serves many threads.
//
// errors        io_error naming file, tensor, wanted and got: damaged files, missing shards or tensors, scales that do
//               not fit, a weight that is there both plain and packed
// cost          opening: the headers, and a sort of the names; reading: the elements read
#pragma once

#include <filesystem>

#include "moe/io/checkpoint_tensor.hpp"
#include "moe/io/gguf_files.hpp"
#include "moe/io/safetensors.hpp"
#include "moe/io/shard_index.hpp"

MOE_BEGIN

class checkpoint {
public:
    explicit checkpoint(const std::string& path) : path_(path) {
        namespace fs = std::filesystem;
        std::error_code ignored;
        const fs::path folder(path);
        if (path.ends_with(".gguf")) {
            open_gguf(path);
            return;
        }
        if (!fs::is_directory(folder, ignored)) {
            if (path.ends_with(".index.json")) open_shards(path);
            else open_file(path);
        } else if (fs::exists(folder / "model.safetensors", ignored)) {
            open_file((folder / "model.safetensors").string());
        } else if (fs::exists(folder / "model.safetensors.index.json", ignored)) {
            open_shards((folder / "model.safetensors.index.json").string());
        } else {
            throw io_error(detail::wanted_got(path, "a folder with model.safetensors or model.safetensors.index.json",
                                              "neither"));
        }
        tensors_ = detail::weights_of(stored_);
    }

    const std::string& path() const { return path_; }
    std::span<const checkpoint_tensor> tensors() const { return tensors_; }  // by name

    bool contains(std::string_view name) const { return find(name) != nullptr; }
    // nullptr if there is none.
    const checkpoint_tensor* find(std::string_view name) const { return detail::find_by_name(tensors(), name); }
    const checkpoint_tensor& at(std::string_view name) const {
        const checkpoint_tensor* found = find(name);
        if (found != nullptr) return *found;
        throw io_error(detail::wanted_got(path_, "a tensor " + detail::excerpt(name),
                                          std::string("none of that name among ") + std::to_string(tensors_.size())));
    }

    // All rows; rows [first_row, first_row + out.rows); all elements.
    template <class T>
    void read(std::string_view name, matrix_view<T> out) const {
        at(name).read(out);
    }
    template <class T>
    void read(std::string_view name, std::uint64_t first_row, matrix_view<T> out) const {
        at(name).read(first_row, out);
    }
    template <class T>
    void read(std::string_view name, std::span<T> out) const {
        at(name).read(out);
    }

    // As it lies in the files, codes and scales included; nullptr if there is none.
    const stored_tensor* stored(std::string_view name) const {
        const auto found = stored_.find(name);
        return found == stored_.end() ? nullptr : found->second;
    }
    // The file with the metadata; nullptr for safetensors.
    const gguf_file* gguf() const { return gguf_.empty() ? nullptr : &gguf_.front(); }

private:
    void open_gguf(const std::string& path) {
        gguf_ = detail::open_gguf_files(path);
        for (const gguf_file& file : gguf_) {
            for (const stored_tensor& t : file.stored()) {
                if (!stored_.emplace(t.name, &t).second) {
                    throw io_error(
                        detail::wanted_got(t.where(), "a tensor in one of the files", "it in another one, too"));
                }
            }
            tensors_.insert(tensors_.end(), file.tensors().begin(), file.tensors().end());
        }
        std::sort(tensors_.begin(), tensors_.end(),
                  [](const checkpoint_tensor& a, const checkpoint_tensor& b) { return a.name < b.name; });
    }

    void open_file(const std::string& path) {
        files_.emplace_back(path);
        for (const stored_tensor& t : files_.back().tensors()) stored_.emplace(t.name, &t);
    }

    void open_shards(const std::string& path) {
        const mapped_file file(path);
        const auto bytes = file.bytes();
        const shard_index index = parse_shard_index({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
        const std::filesystem::path folder = std::filesystem::path(path).parent_path();
        const auto fail = [&](const std::string& tensor, const std::string& wanted, const char* got) {
            throw io_error(detail::wanted_got(path + ": tensor " + detail::excerpt(tensor), wanted, got));
        };
        std::map<std::string, std::size_t> place;  // of a file in files_
        for (const auto& [tensor, name] : index.file_of) {
            if (!place.emplace(name, place.size()).second) continue;
            const std::filesystem::path shard = folder / name;
            std::error_code ignored;
            if (!std::filesystem::exists(shard, ignored)) {
                fail(tensor, "the shard " + detail::excerpt(name) + " beside the index", "no such file");
            }
            files_.emplace_back(shard.string());
        }
        for (const auto& [tensor, name] : index.file_of) {
            const stored_tensor* found = files_[place[name]].find(tensor);
            if (found == nullptr) fail(tensor, "it in the shard " + detail::excerpt(name), "no tensor of that name");
            stored_.emplace(tensor, found);
        }
    }

    std::string path_;
    std::vector<safetensors_file> files_;
    std::vector<gguf_file> gguf_;
    detail::stored_by_name stored_;
    std::vector<checkpoint_tensor> tensors_;
};

MOE_END
