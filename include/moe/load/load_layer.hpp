// load/load_layer: one layer of a model on disk -> a layer of this library
// SPDX-License-Identifier: Apache-2.0
//
//     auto mixtral = moe::io::load<moe::presets::mixtral<float>>("path/to/model", 3);  // the exact type
//     moe::any_layer<float> layer = moe::io::load_layer("path/to/model", 3);           // whatever the model is
//
// A model is a folder with config.json and safetensors files, or a GGUF file (load/gguf_config.hpp). Both calls read
// the same weights in the same way. Weights are
// converted once, expert by expert, from the mapped files into the form that kernels read; no copy of the checkpoint is
// made. load_layer compiles every preset; load_layer_of<float, mixtral<float>, qwen3_moe<float>> knows these two only.
// errors        io_error naming folder, layer, key or tensor: an architecture that is not known, a layer without experts,
//               everything of io/bind_weights.hpp
#pragma once

#include "moe/layer/any_layer.hpp"
#include "moe/load/checkpoint_model.hpp"
#include "moe/load/presets_of.hpp"

MOE_BEGIN

namespace io {

struct load_options {
    std::optional<expert_layout> layout = std::nullopt;  // where shapes do not tell
    std::string prefix = {};  // in front of the layer's names, where the usual ones do not fit: "model.decoder.layers.3."
};

// What a loaded layer was made of.
struct loaded_layer {
    const char* preset = nullptr;
    const char* composition = nullptr;
    std::string prefix;
    bound_weights weights;
};

template <auto Preset>
auto load(const checkpoint_model& model, index_t layer, const load_options& o = {}, loaded_layer* about = nullptr) {
    using values_type = typename detail::preset_traits<decltype(Preset)>::options;
    const auto found = detail::find_architecture<values_type>(model, layer);
    if (!found) {
        throw io_error(moe::detail::wanted_got(model.where(layer), "a layer of the architectures " +
                                          detail::model_types_of<values_type>(), "model_type '" + model.model_type() + "'"));
    }
    const layer_source source{model.weights(), model.prefix_of(*found, layer, o.prefix)};
    values_type values = found->options(model.config(layer), source);
    values.seed = no_draw;
    auto result = Preset(values);
    bound_weights bound = bind_weights(source.weights, source.prefix, model.bindings(found->bindings(values)), result,
                                       model.where(layer) + " (" + found->preset + ")", o.layout);
    if (about != nullptr) *about = {found->preset, found->composition, source.prefix, std::move(bound)};
    return result;
}

template <auto Preset>
auto load(const std::string& folder, index_t layer, const load_options& o = {}) {
    return load<Preset>(checkpoint_model(folder), layer, o);
}

// One of several presets, by the model's architecture.
template <class T, auto... Presets>
any_layer<T> load_layer_of(const checkpoint_model& model, index_t layer, const load_options& o = {},
                           loaded_layer* about = nullptr) {
    std::optional<any_layer<T>> result;
    const auto attempt = [&]<auto Preset>(std::integral_constant<decltype(Preset), Preset>) {
        using values_type = typename detail::preset_traits<decltype(Preset)>::options;
        if (!result && detail::find_architecture<values_type>(model, layer)) {
            result.emplace(load<Preset>(model, layer, o, about));
        }
    };
    (attempt(std::integral_constant<decltype(Presets), Presets>{}), ...);
    if (!result) {
        std::string known;
        ((known += (known.empty() ? "" : ", ") +
                   detail::model_types_of<typename detail::preset_traits<decltype(Presets)>::options>()), ...);
        throw io_error(moe::detail::wanted_got(model.where(layer), "one of the architectures " + known,
                                          "model_type '" + model.model_type() + "'"));
    }
    return std::move(*result);
}

template <class T = float>
any_layer<T> load_layer(const checkpoint_model& model, index_t layer, const load_options& o = {},
                        loaded_layer* about = nullptr) {
    return detail::all_presets<T>::apply([&]<auto... P>() { return load_layer_of<T, P...>(model, layer, o, about); });
}
template <class T = float>
any_layer<T> load_layer(const std::string& folder, index_t layer, const load_options& o = {}) {
    return load_layer<T>(checkpoint_model(folder), layer, o);
}

// A layer with experts.
struct listed_layer {
    index_t layer = 0;
    std::string prefix;
    const char* preset = nullptr;
    const char* composition = nullptr;
};

// The layers of a model that the loader knows, in order; of a model it does not know, none.
inline std::vector<listed_layer> list_layers(const checkpoint_model& model) {
    std::vector<listed_layer> all;
    const auto add = [&]<class Options>(const architecture<Options>& a) {
        for (const auto& [n, prefix] : model.layers_of(a)) {
            if (a.applies == nullptr || a.applies(model.config(n))) all.push_back({n, prefix, a.preset, a.composition});
        }
    };
    detail::all_presets<float>::apply([&]<auto... Presets>() {
        const auto of_preset = [&]<class Options>(std::type_identity<Options> which) {
            for (const auto& a : architectures(which)) {
                for (const char* type : a.model_types) {
                    if (model.model_type() == type) add(a);
                }
            }
        };
        (of_preset(std::type_identity<typename detail::preset_traits<decltype(Presets)>::options>{}), ...);
    });
    std::stable_sort(all.begin(), all.end(), [](const listed_layer& a, const listed_layer& b) { return a.layer < b.layer; });
    return all;
}

}  // namespace io

MOE_END
