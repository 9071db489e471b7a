// presets/switch_transformers_pass: the layer of Switch as transformers 4 has it
// SPDX-License-Identifier: Apache-2.0
//
//     [bias] softmax of the jittered input | top_k of 1 | capacity_pass per sequence || plain relu and the identity
//
// A token that does not fit gives p x: it goes to the identity, the expert behind the last.
// Source: SwitchTransformersSparseMLP of transformers 4. Release 5 and the paper give 0: switch_transformers, which is
// also what io::load_layer gives; io::load<switch_transformers_pass<float>> gives this.
#pragma once

#include "moe/experts/banks.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/presets/switch_transformers.hpp"
#include "moe/route/capacity_pass.hpp"

MOE_BEGIN

namespace presets {

using switch_transformers_pass_options = switch_transformers_options;

template <class T>
auto switch_transformers_pass(const switch_transformers_pass_options& o) {
    return layer{switch_router<T, capacity_pass>(o),
                 banks{relu_bank<T>{
                           {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                       identity_bank<T>{{.features = o.features, .experts = 1}}}};
}

}  // namespace presets

MOE_END
