// presets/cohere2_moe: the layer of Cohere2-MoE with averaged shared experts
// SPDX-License-Identifier: Apache-2.0
//
//     top_k of the logits | softmax_selected, or sigmoid_selected | [renormalize] || swiglu || averaged_shared swiglu
//
// Source: Command A 2026; Cohere2MoeSparseMoeBlock, shared_expert_combination_strategy: average. The other kind is
// cohere2_moe_sum.
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/averaged_shared.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/sigmoid_selected.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

enum class cohere2_moe_scores { softmax, sigmoid };

// Join: how the shared experts are joined with the routed.
template <template <class> class Join>
struct cohere2_options {
    index_t features = 0;                                     // hidden_size
    index_t hidden = 0;                                       // moe_intermediate_size
    index_t experts = 0;                                      // num_experts
    index_t per_token = 8;                                    // num_experts_per_tok
    cohere2_moe_scores scores = cohere2_moe_scores::softmax;  // expert_selection_fn
    bool normalize = true;                                    // norm_topk_prob, only with sigmoid
    index_t shared_experts = 1;                               // num_shared_experts, as one expert so wide
    std::uint64_t seed = 0;                                   // of the initial weights
};

template <class T, template <class> class Join>
auto cohere2_layer(const cohere2_options<Join>& o) {
    using shared_bank = swiglu_bank<T>;
    const bool sigmoids = o.scores == cohere2_moe_scores::sigmoid;
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
                        top_k{.k = o.per_token}, only_if{!sigmoids, softmax_selected{}},
                        only_if{sigmoids, sigmoid_selected{}}, only_if{sigmoids && o.normalize, renormalize{}}},
                 swiglu_bank<T>{
                     {.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}},
                 Join<shared_bank>{shared_bank{{.features = o.features,
                                                .hidden = o.hidden * o.shared_experts,
                                                .experts = 1,
                                                .seed = other_seed(o.seed, 1)}}}};
}

using cohere2_moe_options = cohere2_options<averaged_shared>;

template <class T>
auto cohere2_moe(const cohere2_moe_options& o) {
    return cohere2_layer<T>(o);
}

}  // namespace presets

MOE_END
