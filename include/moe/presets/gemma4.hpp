// presets/gemma4: the experts of Gemma 4 and their router
// SPDX-License-Identifier: Apache-2.0
//
//     features: rms_normalize with gain, over sqrt(D) | softmax | top_k | renormalize | per_expert_scale || geglu
//
// The router sees other rows than the experts: batch.features. The dense block beside the experts, and the norms around
// both, stand outside.
// Source: Gemma 4 2026; Gemma4TextRouter, Gemma4TextExperts.
#pragma once

#include <cmath>

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/features_through.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/per_expert_scale.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/rms_normalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/score/temperature.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct gemma4_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // moe_intermediate_size
    index_t experts = 0;     // num_experts
    index_t per_token = 8;   // top_k_experts
    double epsilon = 1e-6;   // rms_norm_eps
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto gemma4(const gemma4_options& o) {
    return layer{
        router{features_through{rms_normalize<T>{{.columns = o.features, .epsilon = o.epsilon}},
                                features_through{temperature{std::sqrt(static_cast<double>(o.features))},
                                                 linear_gate<T>{{.features = o.features,
                                                                 .experts = o.experts,
                                                                 .seed = o.seed}}}},
               softmax{}, top_k{.k = o.per_token}, renormalize{}, per_expert_scale<T>{o.experts}},
        geglu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
