// presets/nemotron_h_latent: the layer of Nemotron-H whose experts stand between two low-rank projections
// SPDX-License-Identifier: Apache-2.0
//
//     the router of DeepSeek-V3 || plain squared ReLU on P x || shared on x || Q of the weighted sum
//
// Source: Nemotron 3 Super 2025; NemotronHMoE with moe_latent_size. Without it: nemotron_h.
#pragma once

#include "moe/experts/activation.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/presets/deepseek_v3_router.hpp"
#include "moe/combine/projected_sum.hpp"
#include "moe/experts/latent_input.hpp"

MOE_BEGIN

namespace presets {

struct nemotron_h_latent_options {
    index_t features = 0;       // hidden_size
    index_t latent = 0;         // moe_latent_size
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
auto nemotron_h_latent(const nemotron_h_latent_options& o) {
    using bank = ffn_bank<T, relu_squared>;
    return layer{deepseek_v3_router<T>(o),
                 latent_input{bank{{.features = o.latent, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                              {.features = o.features, .seed = o.seed}},
                 shared{bank{
                     {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}},
                 projected_sum<T>{{.inputs = o.latent, .outputs = o.features, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
