// presets/nllb_moe: the layer of NLLB-MoE
// SPDX-License-Identifier: Apache-2.0
//
//     [bias] softmax | first_and_second | [renormalize] | capacity, all first choices first | [renormalize]
//     || plain relu with biases || weighted sum times 1 - token_dropout
//
// In inference the published layer multiplies by 1 - moe_token_dropout; dropout itself stands outside.
// Source: NLLB 2022; NllbMoeSparseMLP of transformers 4 (that of 5 runs experts 0 and 1 only).
#pragma once

#include <limits>
#include <optional>

#include "moe/combine/scaled_sum.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/capacity.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/first_and_second.hpp"

MOE_BEGIN

namespace presets {

struct nllb_moe_options {
    index_t features = 0;                             // d_model
    index_t hidden = 0;                               // encoder_ffn_dim, decoder_ffn_dim
    index_t experts = 0;                              // num_experts
    std::optional<index_t> capacity = std::nullopt;   // expert_capacity, tokens of an expert in the batch
    double capacity_fraction = 1.0;                   // without it: moe_eval_capacity_token_fraction of the tokens
    bool router_bias = false;                         // router_bias
    bool prioritized = false;                         // batch_prioritized_routing
    bool normalize_before_drop = false;               // normalize_router_prob_before_dropping
    second_expert policy = second_expert::all;        // second_expert_policy
    double token_dropout = 0.2;                       // moe_token_dropout
    std::uint64_t seed = 0;                           // of the initial weights
};

template <class T>
auto nllb_moe(const nllb_moe_options& o) {
    const renormalize by_sum{.least = static_cast<double>(std::numeric_limits<T>::epsilon())};
    // The factor of a capacity counts in shares of 2 n / E tokens.
    const capacity_options fits{
        .factor = o.capacity_fraction * o.experts / 2.0,
        .count = o.capacity,
        .priority = o.prioritized ? capacity_priority::token_score : capacity_priority::choice_rank};
    return layer{
        router{linear_gate<T>{
                   {.features = o.features, .experts = o.experts, .bias = o.router_bias, .seed = o.seed}},
               softmax{}, first_and_second{.policy = o.policy}, only_if{o.normalize_before_drop, by_sum},
               moe::capacity{fits}, only_if{!o.normalize_before_drop, by_sum}},
        relu_bank<T>{{.features = o.features,
                      .hidden = o.hidden,
                      .experts = o.experts,
                      .bias = true,
                      .seed = o.seed}},
        scaled_sum{.factor = 1.0 - o.token_dropout}};
}

}  // namespace presets

MOE_END
