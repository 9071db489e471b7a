// presets/hunyuan_v1_moe: the layer of Hunyuan-A13B
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | renormalize || swiglu || shared swiglu
//
// Source: Hunyuan-A13B 2025; HunYuanMoEV1Moe.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct hunyuan_v1_moe_options {
    index_t features = 0;       // hidden_size
    index_t hidden = 0;         // intermediate_size, or moe_intermediate_size of this layer
    index_t experts = 0;        // num_experts
    index_t per_token = 1;      // moe_topk
    index_t shared_hidden = 0;  // intermediate_size, times num_shared_expert where there is one
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto hunyuan_v1_moe(const hunyuan_v1_moe_options& o) {
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
               top_k{.k = o.per_token}, renormalize{}},
        swiglu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
        shared{swiglu_bank<T>{
            {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
