// presets/minimax: the layer of MiniMax-Text-01, which is Mixtral's
// SPDX-License-Identifier: Apache-2.0
//
//     mixtral
//
// Source: MiniMax-01 2025; MiniMaxSparseMoeBlock.
// The residual with its own factors (alpha x + beta y) stands outside: moe::residual.
#pragma once

#include "moe/presets/mixtral.hpp"

MOE_BEGIN

namespace presets {

using minimax_options = mixtral_options;

template <class T>
auto minimax(const minimax_options& o) {
    return mixtral<T>(o);
}

}  // namespace presets

MOE_END
