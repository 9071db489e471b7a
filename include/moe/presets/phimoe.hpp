// presets/phimoe: the layer of Phi-3.5-MoE
// SPDX-License-Identifier: Apache-2.0
//
//     sparsemixer of the logits || swiglu
//
// Source: Phi-3.5-MoE 2024, SparseMixer-v2; PhimoeSparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/select/sparsemixer.hpp"

MOE_BEGIN

namespace presets {

struct phimoe_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_local_experts
    index_t per_token = 2;   // num_experts_per_tok
    double epsilon = 0.01;   // router_jitter_noise: half the width of a near-tie, in inference as well
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto phimoe(const phimoe_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
                        sparsemixer{.k = o.per_token, .epsilon = o.epsilon}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
