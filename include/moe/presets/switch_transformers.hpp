// presets/switch_transformers: the layer of Switch
// SPDX-License-Identifier: Apache-2.0
//
//     [bias] softmax of the jittered input | top_k of 1 | capacity per sequence || plain relu
//
// A token that does not fit gives 0 and lives on in the residual. Jitter acts while training, on the router only.
// Source: Switch 2021; SwitchTransformersSparseMLP of transformers 5. With release 4 what does not fit gives p x:
// switch_transformers_pass.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/features_through.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/capacity.hpp"
#include "moe/score/jitter.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct switch_transformers_options {
    index_t features = 0;     // d_model
    index_t hidden = 0;       // d_ff
    index_t experts = 0;      // num_experts
    index_t capacity = 64;    // expert_capacity, tokens of an expert in every sequence
    bool router_bias = false;
    double jitter = 0.01;     // router_jitter_noise
    std::uint64_t seed = 0;   // of the initial weights
};

// `Capacity` says what becomes of a token that does not fit.
template <class T, class Capacity>
auto switch_router(const switch_transformers_options& o) {
    return router{features_through{moe::jitter{.epsilon = o.jitter}, linear_gate<T>{{.features = o.features,
                                                                                     .experts = o.experts,
                                                                                     .bias = o.router_bias,
                                                                                     .seed = o.seed}}},
                  softmax{}, top_k{.k = 1}, Capacity{{.count = o.capacity, .scope = capacity_scope::sequence}}};
}

template <class T>
auto switch_transformers(const switch_transformers_options& o) {
    return layer{switch_router<T, moe::capacity>(o),
                 relu_bank<T>{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
