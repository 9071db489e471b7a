// presets/longcat_flash: the layer of LongCat-Flash
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | selection_bias | top_k | scale || swiglu and identity experts
//
// Source: LongCat-Flash 2025; LongcatFlashMoE. The layer's shortcut stands outside.
#pragma once

#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct longcat_flash_options {
    index_t features = 0;          // hidden_size
    index_t hidden = 0;            // expert_ffn_hidden_size
    index_t experts = 0;           // n_routed_experts, those with weights
    index_t identity_experts = 0;  // zero_expert_num, numbered behind the others
    index_t per_token = 12;        // moe_topk
    double scale = 6.0;            // routed_scaling_factor
    std::uint64_t seed = 0;        // of the initial weights
};

template <class T>
auto longcat_flash(const longcat_flash_options& o) {
    const index_t all = o.experts + o.identity_experts;
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = all, .seed = o.seed}}, softmax{},
               selection_bias{all}, top_k{.k = o.per_token}, moe::scale{.factor = o.scale}},
        banks{swiglu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
              identity_bank<T>{{.features = o.features, .experts = o.identity_experts}}}};
}

}  // namespace presets

MOE_END
