// presets/cohere2_moe_sum: the layer of Cohere2-MoE with added shared experts
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | softmax_selected, or sigmoid_selected | [renormalize] || swiglu || shared swiglu
//
// Source: Command A 2026; Cohere2MoeSparseMoeBlock, shared_expert_combination_strategy: sum. The other kind is
// cohere2_moe.
#pragma once

#include "moe/layer/shared.hpp"
#include "moe/presets/cohere2_moe.hpp"

MOE_BEGIN

namespace presets {

using cohere2_moe_sum_options = cohere2_options<shared>;

template <class T>
auto cohere2_moe_sum(const cohere2_moe_sum_options& o) {
    return cohere2_layer<T>(o);
}

}  // namespace presets

MOE_END
