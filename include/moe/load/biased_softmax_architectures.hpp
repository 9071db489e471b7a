// load/biased_softmax_architectures: architectures whose routers have a softmax over all experts and a selection bias
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/ernie4_5_moe.hpp"
#include "moe/presets/ernie4_5_vl_moe.hpp"
#include "moe/presets/longcat_flash.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::ernie4_5_moe_options>> architectures(
    std::type_identity<presets::ernie4_5_moe_options>) {
    using O = presets::ernie4_5_moe_options;
    return {{.model_types = {"ernie4_5_moe"},
             .preset = "ernie4_5_moe",
             .composition = "softmax, selection_bias, top_k, renormalize (at least 1e-12); swiglu; shared",
             .gate = "mlp.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("moe_num_experts"),
                         .per_token = c.integer("moe_k"),
                         .shared_experts = c.integer("moe_num_shared_experts")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.gate.weight") +
                             detail::bindings_list{detail::bias_at("mlp.moe_statics.e_score_correction_bias")} +
                             detail::shared_at("mlp.shared_experts."),
                         detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::ernie4_5_vl_moe_options>> architectures(
    std::type_identity<presets::ernie4_5_vl_moe_options>) {
    using O = presets::ernie4_5_vl_moe_options;
    return {{.model_types = {"ernie4_5_vl_moe", "ernie4_5_vl_moe_text"},
             .preset = "ernie4_5_vl_moe",
             .composition = "expert_mask by label, softmax, selection_bias, keys_only{expert_mask}, top_k, "
                            "renormalize (at least 1e-12); banks of two widths; shared",
             .gate = "mlp.gate.weight_1",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 const auto [text, vision] = c.pair("moe_intermediate_size");
                 return {.features = c.integer("hidden_size"),
                         .hidden = text,
                         .vision_hidden = vision,
                         .experts = c.integer("moe_num_experts"),
                         .per_token = c.integer("moe_k"),
                         .shared_experts = c.integer("moe_num_shared_experts")};
             },
             .bindings = [](const O& o) -> layer_bindings {
                 using detail::operator+;
                 auto text = detail::gated_at("mlp.experts.{e}.", "experts.0");
                 auto vision = detail::gated_at("mlp.experts.{e}.", "experts.1");
                 for (weight_binding& b : vision) b.first_expert = o.experts;
                 weight_binding bias = detail::bias_at("mlp.moe_statics.e_score_correction_bias");
                 bias.parameter = "router.3.bias";
                 weight_binding text_gate{.parameter = "router.0.weight", .tensor = "mlp.gate.weight"};
                 text_gate.transposed = true;
                 text_gate.parts = 2;
                 weight_binding vision_gate = text_gate;
                 vision_gate.tensor = "mlp.gate.weight_1";
                 vision_gate.part = 1;
                 return {detail::bindings_list{text_gate, vision_gate, bias} +
                             detail::shared_at("mlp.shared_experts."),
                         detail::only(expert_layout::per_expert, text + vision), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::longcat_flash_options>> architectures(
    std::type_identity<presets::longcat_flash_options>) {
    using O = presets::longcat_flash_options;
    return {{.model_types = {"longcat_flash"},
             .preset = "longcat_flash",
             .composition = "softmax, selection_bias, top_k, scale; banks of swiglu and identity",
             .gate = "mlp.router.classifier.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer({"expert_ffn_hidden_size", "moe_intermediate_size"}),
                         .experts = c.integer({"n_routed_experts", "num_local_experts"}),
                         .identity_experts = c.integer("zero_expert_num"),
                         .per_token = c.integer({"moe_topk", "num_experts_per_tok"}),
                         .scale = c.number("routed_scaling_factor", 1.0)};
             },
             .bindings = [](const O& o) -> layer_bindings {
                 using detail::operator+;
                 layer_bindings l{detail::gate_at("mlp.router.classifier.weight") +
                                      detail::bindings_list{detail::bias_at("mlp.router.e_score_correction_bias")},
                                  detail::gated_experts("mlp.experts.", {}, "experts.0"), {"mlp."}, {}, {}};
                 // transformers gives identity experts weights as well when it saves.
                 for (index_t e = o.experts; e < o.experts + o.identity_experts; ++e) {
                     const std::string at = std::string("mlp.experts.") + std::to_string(e);
                     l.ignored.push_back(at + ".gate_proj.weight");
                     l.ignored.push_back(at + ".up_proj.weight");
                 }
                 return l;
             }}};
}

}  // namespace io

MOE_END
