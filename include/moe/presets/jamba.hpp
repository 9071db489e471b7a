// presets/jamba: the layer of Jamba: Qwen3-MoE's, never renormalised
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k || swiglu
//
// Source: Jamba 2024; JambaSparseMoeBlock.
#pragma once

#include "moe/presets/qwen3_moe.hpp"

MOE_BEGIN

namespace presets {

struct jamba_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_experts
    index_t per_token = 2;   // num_experts_per_tok
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto jamba(const jamba_options& o) {
    return qwen3_moe<T>({.features = o.features,
                         .hidden = o.hidden,
                         .experts = o.experts,
                         .per_token = o.per_token,
                         .normalize = false,
                         .seed = o.seed});
}

}  // namespace presets

MOE_END
