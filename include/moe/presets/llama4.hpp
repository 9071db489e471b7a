// presets/llama4: the layer of Llama 4
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | sigmoid_selected || swiglu of the weighted input || shared swiglu
//
// Source: Llama 4 2025; Llama4TextMoe.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/weigh_input.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/sigmoid_selected.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct llama4_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size, also of the shared expert
    index_t experts = 0;     // num_local_experts
    index_t per_token = 1;   // num_experts_per_tok
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto llama4(const llama4_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
                        top_k{.k = o.per_token}, sigmoid_selected{}},
                 weigh_input{swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}},
                 shared{swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
