// load/nemotron_architectures: Nemotron-H, whose experts have no gate and may stand between projections
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/nemotron_h.hpp"
#include "moe/presets/nemotron_h_latent.hpp"

MOE_BEGIN

namespace io {

namespace detail {

template <class O>
O nemotron_options(const layer_config& c) {
    c.require("mlp_hidden_act", "relu2");
    O o;
    o.features = c.integer("hidden_size");
    o.hidden = c.integer("moe_intermediate_size");
    o.experts = c.integer("n_routed_experts");
    o.per_token = c.integer("num_experts_per_tok");
    o.groups = c.integer("n_group", 1);
    o.groups_kept = c.integer("topk_group", 1);
    o.normalize = c.flag("norm_topk_prob", true);
    o.scale = c.number("routed_scaling_factor", 1.0);
    o.shared_hidden = c.integer("moe_shared_expert_intermediate_size");
    return o;
}

inline layer_bindings nemotron_bindings(const bindings_list& projections, const std::string& part) {
    const bindings_list shared = {{.parameter = "shared.up", .tensor = "mixer.shared_experts.up_proj.weight"},
                                  {.parameter = "shared.down", .tensor = "mixer.shared_experts.down_proj.weight"}};
    const std::string at = "mixer.experts.";
    return {gate_at("mixer.gate.weight") + bindings_list{bias_at("mixer.gate.e_score_correction_bias")} + shared +
                projections,
            {{expert_layout::per_expert,
              {{.parameter = part + ".up", .tensor = at + "{e}.up_proj.weight"},
               {.parameter = part + ".down", .tensor = at + "{e}.down_proj.weight"}}},
             {expert_layout::stacked,
              {{.parameter = part + ".up", .tensor = at + "up_proj"},
               {.parameter = part + ".down", .tensor = at + "down_proj"}}}},
            {"mixer."}, {}, {}};
}

inline const std::vector<std::string> nemotron_prefixes() { return {"backbone.layers.{n}.", "model.layers.{n}."}; }
inline bool has_latent_experts(const layer_config& c) { return c.has("moe_latent_size"); }

}  // namespace detail

inline std::vector<architecture<presets::nemotron_h_options>> architectures(
    std::type_identity<presets::nemotron_h_options>) {
    using O = presets::nemotron_h_options;
    return {{.model_types = {"nemotron_h"},
             .preset = "nemotron_h",
             .composition = "router of deepseek_v3; plain relu_squared; shared",
             .gate = "mixer.gate.weight",
             .options = [](const layer_config& c, const layer_source&) { return detail::nemotron_options<O>(c); },
             .bindings = [](const O&) { return detail::nemotron_bindings({}, "experts"); },
             .prefixes = detail::nemotron_prefixes(),
             .applies = [](const layer_config& c) { return !detail::has_latent_experts(c); }}};
}

inline std::vector<architecture<presets::nemotron_h_latent_options>> architectures(
    std::type_identity<presets::nemotron_h_latent_options>) {
    using O = presets::nemotron_h_latent_options;
    return {{.model_types = {"nemotron_h"},
             .preset = "nemotron_h_latent",
             .composition = "router of deepseek_v3; latent_input of plain relu_squared; shared; projected_sum",
             .gate = "mixer.gate.weight",
             .options = [](const layer_config& c, const layer_source&) {
                 O o = detail::nemotron_options<O>(c);
                 o.latent = c.integer("moe_latent_size");
                 return o;
             },
             .bindings = [](const O&) {
                 const detail::bindings_list projections = {
                     {.parameter = "experts.projection", .tensor = "mixer.fc1_latent_proj.weight"},
                     {.parameter = "combine.projection", .tensor = "mixer.fc2_latent_proj.weight"}};
                 return detail::nemotron_bindings(projections, "experts.bank");
             },
             .prefixes = detail::nemotron_prefixes(),
             .applies = detail::has_latent_experts}};
}

}  // namespace io

MOE_END
