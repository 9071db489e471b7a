// presets/mixtral: the layer of Mixtral
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | renormalize || swiglu
//
// Source: Mixtral of Experts 2024; MixtralSparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct mixtral_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_local_experts
    index_t per_token = 2;   // num_experts_per_tok
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto mixtral(const mixtral_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
                        top_k{.k = o.per_token}, renormalize{}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
