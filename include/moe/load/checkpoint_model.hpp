// load/checkpoint_model: the files of a model, opened once for several layers
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"

MOE_BEGIN

namespace io {

class checkpoint_model {
public:
    // A folder with config.json and safetensors files.
    explicit checkpoint_model(const std::string& folder)
        : folder_(folder), config_(read_json(folder + "/config.json")), weights_(folder) {
        model_type_ = config(0).model_type();
    }

    const std::string& folder() const { return folder_; }
    const std::string& model_type() const { return model_type_; }
    const checkpoint& weights() const { return weights_; }
    layer_config config(index_t layer) const { return {config_, folder_ + "/config.json", layer}; }
    std::string where(index_t layer) const { return folder_ + ": layer " + std::to_string(layer); }

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
        for (const auto& [n, prefix] : layers_with(a.prefixes, a.gate)) {
            if (n == layer) return prefix;
            others += (others.empty() ? "" : ", ") + std::to_string(n);
        }
        throw io_error(moe::detail::wanted_got(where(layer), std::string("a layer with experts, whose tensors end in ") + a.gate,
                                          others.empty() ? "a model without" : "one without; those with: " + others));
    }

private:
    std::string folder_;
    json_value config_;
    checkpoint weights_;
    std::string model_type_;
};

}  // namespace io

MOE_END
