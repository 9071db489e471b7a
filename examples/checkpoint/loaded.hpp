// checkpoint: a layer from the files of a model
// SPDX-License-Identifier: Apache-2.0
//
// Compiled alone, because it compiles every preset.
#pragma once

#include <string>
#include <vector>

#include "moe/load/checkpoint_model.hpp"
#include "moe/moe.hpp"
#include "options.hpp"

struct loaded {
    moe::any_layer<float> layer;
    const char* preset;
    const char* composition;
    std::string prefix;
    moe::io::bound_weights weights;
};

struct listed {
    moe::index_t layer;
    std::string prefix;
    const char* preset;
};

std::vector<listed> list(const moe::io::checkpoint_model& model);
loaded load(const moe::io::checkpoint_model& model, moe::index_t layer, const options& o);
