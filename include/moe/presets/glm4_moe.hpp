// presets/glm4_moe: the layer of GLM-4.5, which is DeepSeek-V3's
// SPDX-License-Identifier: Apache-2.0
//
//     deepseek_v3
//
// Source: GLM-4.5 2025; Glm4MoeMoE.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

using glm4_moe_options = deepseek_v3_options;

template <class T>
auto glm4_moe(const glm4_moe_options& o) {
    return deepseek_v3<T>(o);
}

}  // namespace presets

MOE_END
