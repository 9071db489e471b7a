// presets/flex_olmo: the layer of FlexOlmo, which is Qwen3-MoE's
// SPDX-License-Identifier: Apache-2.0
//
//     qwen3_moe
//
// Source: FlexOlmo 2025; FlexOlmoSparseMoeBlock.
// hidden is the configuration's intermediate_size.
#pragma once

#include "moe/presets/qwen3_moe.hpp"

MOE_BEGIN

namespace presets {

using flex_olmo_options = qwen3_moe_options;

template <class T>
auto flex_olmo(const flex_olmo_options& o) {
    return qwen3_moe<T>(o);
}

}  // namespace presets

MOE_END
