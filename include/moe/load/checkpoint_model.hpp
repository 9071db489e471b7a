// load/checkpoint_model: the files of a model, opened once for several layers
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/gguf_config.hpp"
#include "moe/load/gguf_names.hpp"

MOE_BEGIN

namespace io {

class checkpoint_model {
public:
    // A folder with config.json and safetensors files, or a GGUF file.
    explicit checkpoint_model(const std::string& path)
        : folder_(path), weights_(path), config_path_(path + (weights_.gguf() ? ": metadata" : "/config.json")) {
        config_ = weights_.gguf() ? detail::gguf_config(*weights_.gguf()).json() : read_json(config_path_);
        model_type_ = config(0).model_type();
    }

    const std::string& folder() const { return folder_; }  // or the file
    const std::string& model_type() const { return model_type_; }
    const checkpoint& weights() const { return weights_; }
    layer_config config(index_t layer) const { return {config_, config_path_, layer}; }
    std::string where(index_t layer) const { return folder_ + ": layer " + std::to_string(layer); }

    // Where the model's kind of file holds what an architecture binds.
    layer_bindings bindings(const layer_bindings& l) const { return weights_.gguf() ? detail::gguf_bindings(l) : l; }

    // The layers of an architecture, with what stands in front of their tensors' names.
    template <class Options>
    std::vector<std::pair<index_t, std::string>> layers_of(const architecture<Options>& a) const {
        if (weights_.gguf()) return layers_with({"blk.{n}."}, detail::gguf_gate);
        return layers_with(a.prefixes, a.gate);
    }

    // The prefixes below which the model has this tensor, with the number of the layer: the layers with experts.
    std::vector<std::pair<index_t, std::string>> layers_with(const std::vector<std::string>& prefixes,
                                                             std::string_view tensor) const {
        std::vector<std::pair<index_t, std::string>> found;
        for (const std::string& prefix : prefixes) {
            const std::size_t at = prefix.find("{n}");
            const std::string_view before = std::string_view(prefix).substr(0, at);
            const std::string behind = prefix.substr(at + 3) + std::string(tensor);
            for (const checkpoint_tensor& t : weights_.tensors()) {
                if (!t.name.starts_with(before) || !t.name.ends_with(behind)) continue;
                if (t.name.size() <= before.size() + behind.size()) continue;
                const std::string digits = t.name.substr(before.size(), t.name.size() - before.size() - behind.size());
                const bool number = digits.size() < 7 && digits.find_first_not_of("0123456789") == std::string::npos;
                if (!number) continue;
                found.emplace_back(std::stoi(digits), std::string(before) + digits + prefix.substr(at + 3));
            }
        }
        std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        return found;
    }

    template <class Options>
    std::string prefix_of(const architecture<Options>& a, index_t layer, const std::string& given) const {
        if (!given.empty()) return given;
        std::string others;
        for (const auto& [n, prefix] : layers_of(a)) {
            if (n == layer) return prefix;
            others += (others.empty() ? "" : ", ") + std::to_string(n);
        }
        const std::string ending = weights_.gguf() ? detail::gguf_gate : a.gate;
        throw io_error(moe::detail::wanted_got(where(layer), "a layer with experts, whose tensors end in " + ending,
                                          others.empty() ? "a model without" : "one without; those with: " + others));
    }

private:
    std::string folder_;
    checkpoint weights_;
    std::string config_path_;
    json_value config_;
    std::string model_type_;
};

}  // namespace io

MOE_END
