// load/softmax_architectures: architectures whose routers have a softmax over all experts
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/dbrx.hpp"
#include "moe/presets/deepseek_v2.hpp"
#include "moe/presets/gemma4.hpp"
#include "moe/presets/hunyuan_v1_moe.hpp"
#include "moe/presets/jamba.hpp"
#include "moe/presets/mixtral.hpp"
#include "moe/presets/qwen2_moe.hpp"
#include "moe/presets/qwen3_5_moe.hpp"
#include "moe/presets/qwen3_moe.hpp"
#include "moe/presets/qwen3_next.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::mixtral_options>> architectures(
    std::type_identity<presets::mixtral_options>) {
    return {{.model_types = {"mixtral", "minimax"},
             .preset = "mixtral",
             .composition = "softmax, top_k, renormalize; swiglu",
             .gate = "block_sparse_moe.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> presets::mixtral_options {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const presets::mixtral_options&) -> layer_bindings {
                 return {detail::gate_at("block_sparse_moe.gate.weight"),
                         detail::gated_experts("block_sparse_moe.experts.", detail::numbered_names),
                         {"block_sparse_moe."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::qwen3_moe_options>> architectures(
    std::type_identity<presets::qwen3_moe_options>) {
    using O = presets::qwen3_moe_options;
    return {{.model_types = {"qwen3_moe", "olmoe", "flex_olmo"},
             .preset = "qwen3_moe",
             .composition = "softmax, top_k, [renormalize]; swiglu",
             .gate = "mlp.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 const bool olmo = c.model_type() != "qwen3_moe";
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer(olmo ? "intermediate_size" : "moe_intermediate_size"),
                         .experts = c.integer({"num_experts", "num_local_experts"}),
                         .per_token = c.integer("num_experts_per_tok"),
                         .normalize = c.flag("norm_topk_prob", false)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 return {detail::gate_at("mlp.gate.weight"), detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::jamba_options>> architectures(std::type_identity<presets::jamba_options>) {
    using O = presets::jamba_options;
    return {{.model_types = {"jamba"},
             .preset = "jamba",
             .composition = "softmax, top_k; swiglu",
             .gate = "feed_forward.router.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 return {detail::gate_at("feed_forward.router.weight"), detail::gated_experts("feed_forward.experts."),
                         {"feed_forward."}, {}, {}};
             }}};
}

namespace detail {

// The Qwens with a gated shared expert.
template <class O>
architecture<O> gated_qwen(std::vector<const char*> model_types, const char* preset, const char* composition) {
    return {.model_types = std::move(model_types),
            .preset = preset,
            .composition = composition,
            .gate = "mlp.gate.weight",
            .options = [](const layer_config& c, const layer_source&) {
                c.require("hidden_act", "silu");
                O o;
                o.features = c.integer("hidden_size");
                o.hidden = c.integer("moe_intermediate_size");
                o.experts = c.integer({"num_experts", "num_local_experts"});
                o.per_token = c.integer("num_experts_per_tok");
                o.shared_hidden = c.integer("shared_expert_intermediate_size");
                if constexpr (requires { o.normalize; }) o.normalize = c.flag("norm_topk_prob", o.normalize);
                return o;
            },
            .bindings = [](const O&) -> layer_bindings {
                return {gate_at("mlp.gate.weight") +
                            bindings_list{{.parameter = "shared.gate", .tensor = "mlp.shared_expert_gate.weight"}} +
                            gated_at("mlp.shared_expert.", "shared.experts"),
                        gated_experts("mlp.experts."), {"mlp."}, {}, {}};
            }};
}

}  // namespace detail

inline std::vector<architecture<presets::qwen2_moe_options>> architectures(
    std::type_identity<presets::qwen2_moe_options>) {
    return {detail::gated_qwen<presets::qwen2_moe_options>({"qwen2_moe"}, "qwen2_moe",
                                                           "softmax, top_k, [renormalize]; swiglu; gated_shared")};
}
inline std::vector<architecture<presets::qwen3_next_options>> architectures(
    std::type_identity<presets::qwen3_next_options>) {
    return {detail::gated_qwen<presets::qwen3_next_options>({"qwen3_next"}, "qwen3_next",
                                                            "softmax, top_k, [renormalize]; swiglu; gated_shared")};
}
inline std::vector<architecture<presets::qwen3_5_moe_options>> architectures(
    std::type_identity<presets::qwen3_5_moe_options>) {
    return {detail::gated_qwen<presets::qwen3_5_moe_options>({"qwen3_5_moe", "qwen3_5_moe_text"}, "qwen3_5_moe",
                                                             "softmax, top_k, renormalize; swiglu; gated_shared")};
}

inline std::vector<architecture<presets::deepseek_v2_options>> architectures(
    std::type_identity<presets::deepseek_v2_options>) {
    using O = presets::deepseek_v2_options;
    return {{.model_types = {"deepseek_v2"},
             .preset = "deepseek_v2",
             .composition = "softmax, group_limit (best 1, fill 0), top_k, scale; swiglu; shared",
             .gate = "mlp.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 c.require("scoring_func", "softmax");
                 const bool groups = c.text("topk_method", "greedy") == "group_limited_greedy";
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("n_routed_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .groups = groups ? c.integer("n_group") : 1,
                         .groups_kept = groups ? c.integer("topk_group") : 1,
                         .scale = c.number("routed_scaling_factor", 1.0),
                         .shared_experts = c.integer("n_shared_experts")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.gate.weight") + detail::shared_at("mlp.shared_experts."),
                         detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::hunyuan_v1_moe_options>> architectures(
    std::type_identity<presets::hunyuan_v1_moe_options>) {
    using O = presets::hunyuan_v1_moe_options;
    return {{.model_types = {"hunyuan_v1_moe"},
             .preset = "hunyuan_v1_moe",
             .composition = "softmax, top_k, renormalize; swiglu; shared",
             .gate = "mlp.gate.wg.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 const index_t hidden = c.integer("intermediate_size");
                 return {.features = c.integer("hidden_size"),
                         .hidden = hidden,
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("moe_topk"),
                         .shared_hidden = hidden * c.integer("num_shared_expert", 1)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.gate.wg.weight") + detail::shared_at("mlp.shared_mlp."),
                         detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::dbrx_options>> architectures(std::type_identity<presets::dbrx_options>) {
    using O = presets::dbrx_options;
    return {{.model_types = {"dbrx"},
             .preset = "dbrx",
             .composition = "softmax, top_k, [p_norm]; swiglu",
             .gate = "ffn.router.layer.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 const layer_config ffn = c.within("ffn_config");
                 const char* norm = "moe_normalize_expert_weights";
                 O o{.features = c.integer("d_model"),
                     .hidden = ffn.integer("ffn_hidden_size"),
                     .experts = ffn.integer("moe_num_experts"),
                     .per_token = ffn.integer("moe_top_k")};
                 o.p = ffn.has(norm) ? std::optional<double>(ffn.number(norm)) : std::nullopt;
                 return o;
             },
             .bindings = [](const O&) -> layer_bindings {
                 const std::string at = "ffn.experts.mlp.";
                 return {detail::gate_at("ffn.router.layer.weight"),
                         detail::only(expert_layout::flattened,
                                      {{.parameter = "experts.gate", .tensor = at + "w1", .flattened = true},
                                       {.parameter = "experts.up", .tensor = at + "v1", .flattened = true},
                                       {.parameter = "experts.down", .tensor = at + "w2", .transposed = true,
                                        .flattened = true}}),
                         {"ffn."}, {}, {}};
             },
             .prefixes = {"transformer.blocks.{n}."}}};
}

inline std::vector<architecture<presets::gemma4_options>> architectures(std::type_identity<presets::gemma4_options>) {
    using O = presets::gemma4_options;
    return {{.model_types = {"gemma4", "gemma4_text"},
             .preset = "gemma4",
             .composition = "features through rms_normalize and temperature, softmax, top_k, renormalize, "
                            "per_expert_scale; geglu",
             .gate = "router.proj.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_activation", "gelu_pytorch_tanh");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("top_k_experts"),
                         .epsilon = c.number("rms_norm_eps")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 return {{{.parameter = "router.0.gate.gate.weight", .tensor = "router.proj.weight"},
                          {.parameter = "router.0.step.gain", .tensor = "router.scale"},
                          {.parameter = "router.4.scale", .tensor = "router.per_expert_scale"}},
                         detail::gated_experts("experts."), {"router.", "experts."}, {}, {}};
             }}};
}

}  // namespace io

MOE_END
