// presets/lfm2_moe: the layer of LFM2-MoE
// SPDX-License-Identifier: Apache-2.0
//
//     sigmoid | selection_bias | top_k | [renormalize + 1e-6] | scale || swiglu
//
// Source: LFM2 2025; Lfm2MoeSparseMoeBlock. Without use_expert_bias the bias stays 0.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct lfm2_moe_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // moe_intermediate_size
    index_t experts = 0;     // num_experts
    index_t per_token = 4;   // num_experts_per_tok
    bool normalize = true;   // norm_topk_prob
    double scale = 1.0;      // routed_scaling_factor
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto lfm2_moe(const lfm2_moe_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, sigmoid{},
                        selection_bias{o.experts}, top_k{.k = o.per_token},
                        only_if{o.normalize, renormalize{.epsilon = 1e-6}}, moe::scale{.factor = o.scale}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
