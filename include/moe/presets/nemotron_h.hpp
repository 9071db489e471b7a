// presets/nemotron_h: the layer of Nemotron-H
// SPDX-License-Identifier: Apache-2.0
//
//     the router of DeepSeek-V3 || plain squared ReLU || shared, the same
//
// Source: Nemotron-H 2025, Nemotron 3 Nano; NemotronHMoE without moe_latent_size. With it: nemotron_h_latent.
#pragma once

#include "moe/experts/activation.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/presets/deepseek_v3_router.hpp"

MOE_BEGIN

namespace presets {

struct nemotron_h_options {
    index_t features = 0;       // hidden_size
    index_t hidden = 0;         // moe_intermediate_size
    index_t experts = 0;        // n_routed_experts
    index_t per_token = 2;      // num_experts_per_tok
    index_t groups = 1;         // n_group
    index_t groups_kept = 1;    // topk_group
    bool normalize = true;      // norm_topk_prob
    double scale = 1.0;         // routed_scaling_factor
    index_t shared_hidden = 0;  // moe_shared_expert_intermediate_size
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto nemotron_h(const nemotron_h_options& o) {
    using bank = ffn_bank<T, relu_squared>;
    return layer{deepseek_v3_router<T>(o),
                 bank{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 shared{bank{
                     {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
