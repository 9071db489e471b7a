// presets/qwen3_next: the layer of Qwen3-Next: Qwen2-MoE's, renormalised unless switched off
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | [renormalize] || swiglu || shared swiglu behind a logistic gate
//
// Source: Qwen3-Next 2025; Qwen3NextSparseMoeBlock.
#pragma once

#include "moe/presets/qwen2_moe.hpp"

MOE_BEGIN

namespace presets {

struct qwen3_next_options {
    index_t features = 0;       // hidden_size
    index_t hidden = 0;         // moe_intermediate_size
    index_t experts = 0;        // num_experts
    index_t per_token = 10;     // num_experts_per_tok
    index_t shared_hidden = 0;  // shared_expert_intermediate_size
    bool normalize = true;      // norm_topk_prob
    std::uint64_t seed = 0;     // of the initial weights
};

template <class T>
auto qwen3_next(const qwen3_next_options& o) {
    return qwen2_moe<T>({.features = o.features,
                         .hidden = o.hidden,
                         .experts = o.experts,
                         .per_token = o.per_token,
                         .shared_hidden = o.shared_hidden,
                         .normalize = o.normalize,
                         .seed = o.seed});
}

}  // namespace presets

MOE_END
