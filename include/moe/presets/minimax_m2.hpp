// presets/minimax_m2: the layer of MiniMax-M2
// SPDX-License-Identifier: Apache-2.0
//
//     sigmoid | selection_bias | top_k | renormalize || swiglu
//
// Source: MiniMax-M2 2025; MiniMaxM2SparseMoeBlock.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct minimax_m2_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_local_experts
    index_t per_token = 8;   // num_experts_per_tok
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto minimax_m2(const minimax_m2_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, sigmoid{},
                        selection_bias{o.experts}, top_k{.k = o.per_token}, renormalize{}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
