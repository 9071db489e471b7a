// presets/dbrx: the layer of DBRX
// SPDX-License-Identifier: Apache-2.0
//
//     softmax | top_k | [p_norm] || swiglu
//
// Source: DBRX 2024; DbrxFFN.
#pragma once

#include <optional>

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/p_norm.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

struct dbrx_options {
    index_t features = 0;           // d_model
    index_t hidden = 0;             // ffn_config.ffn_hidden_size
    index_t experts = 0;            // ffn_config.moe_num_experts
    index_t per_token = 4;          // ffn_config.moe_top_k
    std::optional<double> p = 1.0;  // ffn_config.moe_normalize_expert_weights; none: weights as they are
    std::uint64_t seed = 0;         // of the initial weights
};

template <class T>
auto dbrx(const dbrx_options& o) {
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, softmax{},
                        top_k{.k = o.per_token}, only_if{o.p.has_value(), p_norm{.p = o.p.value_or(1.0)}}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}}};
}

}  // namespace presets

MOE_END
