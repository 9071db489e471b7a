// presets/qwen3_moe: the layer of Qwen3-MoE
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | [renormalize] || swiglu
//
// Source: Qwen3 2025; Qwen3MoeSparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct qwen3_moe_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // moe_intermediate_size
    index_t experts = 0;     // num_experts
    index_t per_token = 8;   // num_experts_per_tok
    bool normalize = false;  // norm_topk_prob
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto qwen3_moe(const qwen3_moe_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
                        top_k{.k = o.per_token}, only_if{o.normalize, renormalize{}}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
