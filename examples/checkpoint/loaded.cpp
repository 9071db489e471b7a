// checkpoint: a layer from the files of a model
// SPDX-License-Identifier: Apache-2.0
#include "loaded.hpp"

#include "moe/load.hpp"

std::vector<listed> list(const moe::io::checkpoint_model& model) {
    std::vector<listed> all;
    for (const auto& l : moe::io::list_layers(model)) all.push_back({l.layer, l.prefix, l.preset});
    return all;
}

loaded load(const moe::io::checkpoint_model& model, moe::index_t layer, const options& o) {
    moe::io::loaded_layer about;
    moe::any_layer<float> result =
        moe::io::load_layer<float>(model, layer, {.layout = o.layout, .prefix = o.prefix}, &about);
    return {std::move(result), about.preset, about.composition, about.prefix, std::move(about.weights)};
}
