// presets/qwen2_moe: the layer of Qwen2-MoE
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | [renormalize] || swiglu || shared swiglu behind a logistic gate
//
// Source: Qwen1.5-MoE 2024, Qwen2 2024; Qwen2MoeSparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/gated_shared.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct qwen2_moe_options {
    index_t features = 0;       // hidden_size
    index_t hidden = 0;         // moe_intermediate_size
    index_t experts = 0;        // num_experts
    index_t per_token = 4;      // num_experts_per_tok
    index_t shared_hidden = 0;  // shared_expert_intermediate_size
    bool normalize = false;     // norm_topk_prob
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto qwen2_moe(const qwen2_moe_options& o) {
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
               top_k{.k = o.per_token}, only_if{o.normalize, renormalize{}}},
        swiglu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
        gated_shared{swiglu_bank<T>{
            {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
