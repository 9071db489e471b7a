// presets/afmoe: the layer of AFMoE (Trinity): DeepSeek-V3's without groups
// SPDX-License-Identifier: Apache-2.0
//
//     sigmoid | selection_bias | top_k | renormalize | scale || swiglu || shared swiglu
//
// Source: Arcee Trinity 2025; AfmoeSparseMoeBlock.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

struct afmoe_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size
    index_t experts = 0;         // num_experts
    index_t per_token = 8;       // num_experts_per_tok
    double scale = 1.0;          // route_scale
    index_t shared_experts = 1;  // num_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto afmoe(const afmoe_options& o) {
    return deepseek_v3<T>({.features = o.features,
                           .hidden = o.hidden,
                           .experts = o.experts,
                           .per_token = o.per_token,
                           .scale = o.scale,
                           .shared_experts = o.shared_experts,
                           .seed = o.seed});
}

}  // namespace presets

MOE_END
