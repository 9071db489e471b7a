// load/granite_architectures: Granite, JetMoE and Aria, which choose by logits and stack their experts
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/aria.hpp"
#include "moe/presets/granitemoe.hpp"
#include "moe/presets/granitemoeshared.hpp"
#include "moe/presets/jetmoe.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::granitemoe_options>> architectures(
    std::type_identity<presets::granitemoe_options>) {
    using O = presets::granitemoe_options;
    return {{.model_types = {"granitemoe"},
             .preset = "granitemoe",
             .composition = "top_k, softmax_selected; swiglu",
             .gate = "block_sparse_moe.router.layer.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 return {detail::gate_at("block_sparse_moe.router.layer.weight"),
                         detail::linear_experts("block_sparse_moe."), {"block_sparse_moe."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::granitemoeshared_options>> architectures(
    std::type_identity<presets::granitemoeshared_options>) {
    using O = presets::granitemoeshared_options;
    return {{.model_types = {"granitemoeshared", "granitemoehybrid"},
             .preset = "granitemoeshared",
             .composition = "top_k, softmax_selected; swiglu; shared",
             .gate = "block_sparse_moe.router.layer.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .shared_hidden = c.integer("shared_intermediate_size")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("block_sparse_moe.router.layer.weight") +
                             detail::merged_at("shared_mlp.input_linear.weight", "shared_mlp.output_linear.weight",
                                               "shared", false),
                         detail::linear_experts("block_sparse_moe."), {"block_sparse_moe.", "shared_mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::aria_options>> architectures(std::type_identity<presets::aria_options>) {
    using O = presets::aria_options;
    return {{.model_types = {"aria", "aria_text"},
             .preset = "aria",
             .composition = "top_k, softmax_selected; swiglu; shared",
             .gate = "mlp.router.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("moe_num_experts"),
                         .per_token = c.integer("moe_topk"),
                         .shared_experts = c.integer("moe_num_shared_experts")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.router.weight") + detail::shared_at("mlp.shared_experts."),
                         detail::only(expert_layout::stacked_transposed,
                                      detail::merged_at("mlp.experts.fc1.weight", "mlp.experts.fc2.weight", "experts",
                                                        true)),
                         {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::jetmoe_options>> architectures(std::type_identity<presets::jetmoe_options>) {
    using O = presets::jetmoe_options;
    return {{.model_types = {"jetmoe"},
             .preset = "jetmoe",
             .composition = "top_k, softmax_selected; swiglu; biased_sum",
             .gate = "mlp.router.layer.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("activation_function", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer({"intermediate_size", "ffn_hidden_size"}),
                         .experts = c.integer({"num_local_experts", "moe_num_experts"}),
                         .per_token = c.integer({"num_experts_per_tok", "moe_top_k"})};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.router.layer.weight") +
                             detail::bindings_list{{.parameter = "combine.bias", .tensor = "mlp.bias"}},
                         detail::linear_experts("mlp."), {"mlp."}, {}, {}};
             }}};
}

}  // namespace io

MOE_END
