// presets/exaone_moe: the layer of EXAONE-MoE, which is DeepSeek-V3's
// SPDX-License-Identifier: Apache-2.0
//
//     deepseek_v3
//
// Source: K-EXAONE 2026; ExaoneMoeSparseMoEBlock.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

using exaone_moe_options = deepseek_v3_options;

template <class T>
auto exaone_moe(const exaone_moe_options& o) {
    return deepseek_v3<T>(o);
}

}  // namespace presets

MOE_END
