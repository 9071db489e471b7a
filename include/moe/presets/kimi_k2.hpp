// presets/kimi_k2: the layer of Kimi-K2, which is DeepSeek-V3's
// SPDX-License-Identifier: Apache-2.0
//
//     deepseek_v3
//
// Source: Kimi K2 2025; its checkpoints name DeepseekV3MoE.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

using kimi_k2_options = deepseek_v3_options;

template <class T>
auto kimi_k2(const kimi_k2_options& o) {
    return deepseek_v3<T>(o);
}

}  // namespace presets

MOE_END
