// presets/jetmoe: the layer of JetMoE's feed-forward experts
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | softmax_selected || swiglu || weighted sum and one bias
//
// Source: JetMoE 2024; JetMoeMoE. Its mixture of attention heads is not this layer.
#pragma once

#include "moe/combine/biased_sum.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct jetmoe_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_local_experts
    index_t per_token = 2;   // num_experts_per_tok
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto jetmoe(const jetmoe_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
                        top_k{.k = o.per_token}, softmax_selected{}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 biased_sum<T>{{.outputs = o.features}}};
}

}  // namespace presets

MOE_END
