// presets/gpt_oss: the layer of gpt-oss
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the biased logits | softmax_selected || scaled_swiglu with biases
//
// Source: gpt-oss 2025; GptOssMLP.
#pragma once

#include "moe/experts/clamped_activation.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct gpt_oss_options {
    index_t features = 0;    // hidden_size
    index_t hidden = 0;      // intermediate_size
    index_t experts = 0;     // num_local_experts
    index_t per_token = 4;   // num_experts_per_tok
    double limit = 7.0;      // swiglu_limit
    double alpha = 1.702;    // of the activation, not in the configuration
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T>
auto gpt_oss(const gpt_oss_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .bias = true, .seed = o.seed}},
                        top_k{.k = o.per_token}, softmax_selected{}},
                 ffn_bank<T, scaled_swiglu>{{.features = o.features,
                                             .hidden = o.hidden,
                                             .experts = o.experts,
                                             .bias = true,
                                             .seed = o.seed},
                                            scaled_swiglu{{.alpha = o.alpha, .limit = o.limit}}}};
}

}  // namespace presets

MOE_END
