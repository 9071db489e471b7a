// presets/dots1: the layer of dots.llm1, which is DeepSeek-V3's
// SPDX-License-Identifier: Apache-2.0
//
//     deepseek_v3
//
// Source: dots.llm1 2025; Dots1MoE.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

using dots1_options = deepseek_v3_options;

template <class T>
auto dots1(const dots1_options& o) {
    return deepseek_v3<T>(o);
}

}  // namespace presets

MOE_END
