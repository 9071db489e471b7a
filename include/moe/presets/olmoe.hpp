// presets/olmoe: the layer of OLMoE, which is Qwen3-MoE's
// SPDX-License-Identifier: Apache-2.0
//
//     qwen3_moe
//
// Source: OLMoE 2024; OlmoeSparseMoeBlock.
// hidden is the configuration's intermediate_size.
#pragma once

#include "moe/presets/qwen3_moe.hpp"

MOE_BEGIN

namespace presets {

using olmoe_options = qwen3_moe_options;

template <class T>
auto olmoe(const olmoe_options& o) {
    return qwen3_moe<T>(o);
}

}  // namespace presets

MOE_END
