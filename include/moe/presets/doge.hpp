// presets/doge: the layer of Doge
// SPDX-License-Identifier: Apache-2.0
//
//     product_keys of the logits | softmax_selected || rank-one silu || shared swiglu
//
// Source: Doge 2024; DogeCDMoE. Its renormalisation behind the softmax changes nothing.
#pragma once

#include <cmath>
#include <string>

#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/rank_one_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/select/product_keys.hpp"

MOE_BEGIN

namespace presets {

struct doge_options {
    index_t features = 0;       // hidden_size
    index_t shared_hidden = 0;  // intermediate_size, of the dense block
    index_t experts = 0;        // num_experts, a square number
    index_t per_token = 64;     // num_experts_per_tok
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto doge(const doge_options& o) {
    const auto keys = static_cast<index_t>(std::lround(std::sqrt(static_cast<double>(o.experts))));
    if (keys * keys != o.experts) throw_value("doge.experts", "a square number", std::to_string(o.experts));
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = 2 * keys, .seed = o.seed}},
               product_keys{.k = o.per_token}, softmax_selected{}},
        rank_one_bank<T, silu>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
        shared{swiglu_bank<T>{
            {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
