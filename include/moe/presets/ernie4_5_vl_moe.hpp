// presets/ernie4_5_vl_moe: the layer of ERNIE 4.5 VL, with experts for text (label 0) and vision (label 1)
// SPDX-License-Identifier: Apache-2.0
//
//     softmax over the experts of the label | selection_bias | top_k | renormalize by at least 1e-12
//     || swiglu of two widths || shared swiglu
//
// The published layer has two routers and two banks; here the gate has a row for every expert, those of text first.
// Source: ERNIE 4.5 2025; Ernie4_5_VLMoeMoeBlock. The batch needs label.
#pragma once

#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/keys_only.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/expert_mask.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct ernie4_5_vl_moe_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size[0], of text experts and of the shared one
    index_t vision_hidden = 0;   // moe_intermediate_size[1]
    index_t experts = 0;         // moe_num_experts, of each kind
    index_t per_token = 6;       // moe_k
    index_t shared_experts = 2;  // moe_num_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto ernie4_5_vl_moe(const ernie4_5_vl_moe_options& o) {
    const index_t all = 2 * o.experts;
    matrix<std::uint8_t> allowed(2, all);
    for (index_t e = 0; e < all; ++e) allowed(e < o.experts ? 0 : 1, e) = 1;
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = all, .seed = o.seed}}, expert_mask{allowed},
               softmax{}, selection_bias{all}, keys_only{expert_mask{allowed}}, top_k{.k = o.per_token},
               renormalize{.least = 1e-12}},
        banks{swiglu_bank<T>{
                  {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
              swiglu_bank<T>{{.features = o.features,
                              .hidden = o.vision_hidden,
                              .experts = o.experts,
                              .seed = other_seed(o.seed, 2)}}},
        shared{swiglu_bank<T>{{.features = o.features,
                               .hidden = o.hidden * o.shared_experts,
                               .experts = 1,
                               .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
