// load/load_layer: one layer of a model on disk -> a layer of this library
// SPDX-License-Identifier: Apache-2.0
//
//     auto mixtral = moe::io::load<moe::presets::mixtral<float>>("path/to/model", 3);  // the exact type
//     moe::any_layer<float> layer = moe::io::load_layer("path/to/model", 3);           // whatever the model is
//
// A model is a folder with config.json and safetensors files. Both read the same weights in the same way. Weights are
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
    using options = typename detail::preset_traits<decltype(Preset)>::options;
    const auto found = detail::find_architecture<options>(model, layer);
    if (!found) {
        throw io_error(moe::detail::wanted_got(model.where(layer), "a layer of the architectures " +
                                          detail::model_types_of<options>(), "model_type '" + model.model_type() + "'"));
    }
    const layer_source source{model.weights(), model.prefix_of(*found, layer, o.prefix)};
    options values = found->options(model.config(layer), source);
    values.seed = no_draw;
    auto result = Preset(values);
    bound_weights bound = bind_weights(source.weights, source.prefix, found->bindings(values), result,
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
        using options = typename detail::preset_traits<decltype(Preset)>::options;
        if (!result && detail::find_architecture<options>(model, layer)) {
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

}  // namespace io

MOE_END
