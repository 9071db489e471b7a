// presets/ernie4_5_moe: the layer of ERNIE 4.5
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | selection_bias | top_k | renormalize by at least 1e-12 || swiglu || shared swiglu
//
// Source: ERNIE 4.5 2025; Ernie4_5_MoeSparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct ernie4_5_moe_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size
    index_t experts = 0;         // moe_num_experts
    index_t per_token = 6;       // moe_k
    index_t shared_experts = 2;  // moe_num_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto ernie4_5_moe(const ernie4_5_moe_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
                        selection_bias{o.experts}, top_k{.k = o.per_token}, renormalize{.least = 1e-12}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 shared{swiglu_bank<T>{{.features = o.features,
                                        .hidden = o.hidden * o.shared_experts,
                                        .experts = 1,
                                        .seed = other_seed(o.seed, 1)}}}};
}

}  // namespace presets

MOE_END
