// presets/solar_open: the layer of Solar-Open, which is DeepSeek-V3's
// SPDX-License-Identifier: Apache-2.0
//
//     deepseek_v3
//
// Source: Solar Open 2026; SolarOpenMoE.
#pragma once

#include "moe/presets/deepseek_v3.hpp"

MOE_BEGIN

namespace presets {

using solar_open_options = deepseek_v3_options;

template <class T>
auto solar_open(const solar_open_options& o) {
    return deepseek_v3<T>(o);
}

}  // namespace presets

MOE_END
