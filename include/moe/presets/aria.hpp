// presets/aria: the layer of Aria: Granite's with shared experts as wide as some of the routed
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | softmax_selected || swiglu || shared swiglu
//
// Source: Aria 2024; AriaTextMoELayer.
#pragma once

#include "moe/presets/granitemoeshared.hpp"

MOE_BEGIN

namespace presets {

struct aria_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // intermediate_size
    index_t experts = 0;         // moe_num_experts
    index_t per_token = 2;       // moe_topk
    index_t shared_experts = 2;  // moe_num_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto aria(const aria_options& o) {
    return granitemoeshared<T>({.features = o.features,
                                .hidden = o.hidden,
                                .experts = o.experts,
                                .per_token = o.per_token,
                                .shared_hidden = o.hidden * o.shared_experts,
                                .seed = o.seed});
}

}  // namespace presets

MOE_END
