// presets/deepseek_v4_hash: the layer of DeepSeek-V4 whose experts come from a table of token ids
// SPDX-License-Identifier: Apache-2.0
//
//     sqrt_softplus | token_table | renormalize | scale || clamp_before_swiglu || shared, the same
//
// The batch needs token_id. The other kind is deepseek_v4.
// Source: DeepSeek-V4 2026; DeepseekV4SparseMoeBlock, mlp_layer_types: hash_moe.
#pragma once

#include "moe/experts/clamped_activation.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/sqrt_softplus.hpp"
#include "moe/select/table.hpp"

MOE_BEGIN

namespace presets {

struct deepseek_v4_hash_options {
    index_t features = 0;        // hidden_size
    index_t hidden = 0;          // moe_intermediate_size
    index_t experts = 0;         // n_routed_experts
    matrix<index_t> experts_of = {};  // tid2eid, [vocabulary, num_experts_per_tok]
    double scale = 1.5;          // routed_scaling_factor
    double limit = 10.0;         // swiglu_limit
    index_t shared_experts = 1;  // n_shared_experts, as one expert as wide as all of them
    std::uint64_t seed = 0;      // of the initial weights
};

template <class T>
auto deepseek_v4_hash(const deepseek_v4_hash_options& o) {
    using bank = ffn_bank<T, clamp_before_swiglu>;
    const clamp_before_swiglu act{{.limit = o.limit}};
    return layer{router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}}, sqrt_softplus{},
                        token_table{o.experts_of}, renormalize{.epsilon = 1e-20},
                        moe::scale{.factor = o.scale}},
                 bank{{.features = o.features, .hidden = o.hidden, .experts = o.experts, .seed = o.seed}, act},
                 shared{bank{{.features = o.features,
                              .hidden = o.hidden * o.shared_experts,
                              .experts = 1,
                              .seed = other_seed(o.seed, 1)},
                             act}}};
}

}  // namespace presets

MOE_END
