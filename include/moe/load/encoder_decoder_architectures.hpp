// load/encoder_decoder_architectures: architectures of an encoder and a decoder, which number their layers apart
// SPDX-License-Identifier: Apache-2.0
//
// A layer is that of the encoder where both have experts; the decoder's is named by its prefix.
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/nllb_moe.hpp"
#include "moe/presets/switch_transformers.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::switch_transformers_options>> architectures(
    std::type_identity<presets::switch_transformers_options>) {
    using O = presets::switch_transformers_options;
    return {{.model_types = {"switch_transformers"},
             .preset = "switch_transformers",
             .composition = "features through jitter, softmax, top_k of 1, capacity per sequence; plain relu",
             .gate = "mlp.router.classifier.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("dense_act_fn", "relu");
                 return {.features = c.integer("d_model"),
                         .hidden = c.integer("d_ff"),
                         .experts = c.integer("num_experts"),
                         .capacity = c.integer("expert_capacity"),
                         .router_bias = c.flag("router_bias", false),
                         .jitter = c.number("router_jitter_noise", 0.0)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 const std::string expert = "mlp.experts.expert_{e}.";
                 return {{{.parameter = "router.0.gate.weight", .tensor = "mlp.router.classifier.weight"},
                          {.parameter = "router.0.gate.bias", .tensor = "mlp.router.classifier.bias"}},
                         // The first of two banks in switch_transformers_pass.
                         detail::only(expert_layout::per_expert,
                                      {{.parameter = "experts.up", .tensor = expert + "wi.weight"},
                                       {.parameter = "experts.down", .tensor = expert + "wo.weight"},
                                       {.parameter = "experts.0.up", .tensor = expert + "wi.weight"},
                                       {.parameter = "experts.0.down", .tensor = expert + "wo.weight"}}),
                         {"mlp."}, {}, {}};
             },
             .prefixes = {"encoder.block.{n}.layer.1.", "decoder.block.{n}.layer.2."}}};
}

inline std::vector<architecture<presets::nllb_moe_options>> architectures(
    std::type_identity<presets::nllb_moe_options>) {
    using O = presets::nllb_moe_options;
    return {{.model_types = {"nllb_moe", "nllb-moe"},
             .preset = "nllb_moe",
             .composition = "softmax, first_and_second, [renormalize], capacity, [renormalize]; plain relu with biases; "
                            "scaled_sum",
             .gate = "ffn.router.classifier.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("activation_function", "relu");
                 const double fraction = c.number("moe_eval_capacity_token_fraction", 1.0);
                 const std::string policy = c.text("second_expert_policy", "all");
                 O o{.features = c.integer("d_model"),
                     .hidden = c.integer("encoder_ffn_dim"),
                     .experts = c.integer("num_experts")};
                 if (fraction > 0.0) o.capacity_fraction = fraction;
                 else o.capacity = c.integer("expert_capacity");
                 o.router_bias = c.flag("router_bias", false);
                 o.prioritized = c.flag("batch_prioritized_routing", false);
                 o.normalize_before_drop = c.flag("normalize_router_prob_before_dropping", false);
                 o.policy = policy == "all"        ? second_expert::all
                            : policy == "sampling" ? second_expert::sampling
                                                   : second_expert::random;
                 o.token_dropout = c.number("moe_token_dropout", 0.2);
                 return o;
             },
             .bindings = [](const O&) -> layer_bindings {
                 const std::string expert = "ffn.experts.expert_{e}.";
                 return {{{.parameter = "router.0.weight", .tensor = "ffn.router.classifier.weight"},
                          {.parameter = "router.0.bias", .tensor = "ffn.router.classifier.bias"}},
                         detail::only(expert_layout::per_expert,
                                      {{.parameter = "experts.up", .tensor = expert + "fc1.weight"},
                                       {.parameter = "experts.up_bias", .tensor = expert + "fc1.bias"},
                                       {.parameter = "experts.down", .tensor = expert + "fc2.weight"},
                                       {.parameter = "experts.down_bias", .tensor = expert + "fc2.bias"}}),
                         {"ffn."}, {}, {}};
             },
             .prefixes = {"model.encoder.layers.{n}.", "model.decoder.layers.{n}."}}};
}

}  // namespace io

MOE_END
