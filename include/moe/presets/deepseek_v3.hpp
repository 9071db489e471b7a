// presets/deepseek_v3: the layer of DeepSeek-V3
// SPDX-License-Identifier: Apache-2.0
//
//     sigmoid | selection_bias | group_limit by the best 2 | top_k | [renormalize] | scale || swiglu || shared swiglu
//
// Source: DeepSeek-V3 2024; DeepseekV3MoE. groups = 1 limits nothing.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/presets/deepseek_v3_router.hpp"

MOE_BEGIN

namespace presets {

struct deepseek_v3_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size
    index_t experts = 0;         // n_routed_experts
    index_t per_token = 8;       // num_experts_per_tok
    index_t groups = 1;          // n_group
    index_t groups_kept = 1;     // topk_group
    bool normalize = true;       // norm_topk_prob
    double scale = 1.0;          // routed_scaling_factor
    index_t shared_experts = 1;  // n_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto deepseek_v3(const deepseek_v3_options& o) {
    return layer{deepseek_v3_router<T>(o),
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 shared{swiglu_bank<T>{{.features = o.features,
                                        .hidden = o.hidden * o.shared_experts,
                                        .experts = 1,
                                        .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
