// presets/deepseek_v2: the layer of DeepSeek-V2
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | group_limit by the best 1, fill 0 | top_k | scale || swiglu || shared swiglu
//
// Source: DeepSeek-V2 2024; DeepseekV2Moe. groups = 1 is the greedy choice of DeepSeek-V2-Lite.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct deepseek_v2_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size
    index_t experts = 0;         // n_routed_experts
    index_t per_token = 6;       // num_experts_per_tok
    index_t groups = 1;          // n_group, where topk_method is group_limited_greedy
    index_t groups_kept = 1;     // topk_group
    double scale = 1.0;          // routed_scaling_factor
    index_t shared_experts = 1;  // n_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto deepseek_v2(const deepseek_v2_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
                        group_limit{.groups = o.groups, .keep = o.groups_kept, .best = 1, .fill = 0.0},
                        top_k{.k = o.per_token}, moe::scale{.factor = o.scale}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 shared{swiglu_bank<T>{{.features = o.features,
                                        .hidden = o.hidden * o.shared_experts,
                                        .experts = 1,
                                        .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
