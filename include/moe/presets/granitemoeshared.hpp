// presets/granitemoeshared: the layer of Granite-MoE with shared experts
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | softmax_selected || swiglu || shared swiglu
//
// Source: Granite 4.0 2025; GraniteMoeSharedMoE and the shared_mlp beside it. Without shared experts: granitemoe.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct granitemoeshared_options {
    index_t features = 0;       // hidden_size
    index_t hidden = 0;         // intermediate_size
    index_t experts = 0;        // num_local_experts
    index_t per_token = 2;      // num_experts_per_tok
    index_t shared_hidden = 0;  // shared_intermediate_size
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto granitemoeshared(const granitemoeshared_options& o) {
    return layer{
        router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
               top_k{.k = o.per_token}, softmax_selected{}},
        swiglu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
        shared{swiglu_bank<T>{
            {.features = o.features, .hidden = o.shared_hidden, .experts = 1, .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
