// load/sigmoid_architectures: routers with a sigmoid or the root of a softplus, and a selection bias
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/afmoe.hpp"
#include "moe/presets/deepseek_v3.hpp"
#include "moe/presets/deepseek_v4.hpp"
#include "moe/presets/deepseek_v4_hash.hpp"
#include "moe/presets/lfm2_moe.hpp"
#include "moe/presets/minimax_m2.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::deepseek_v3_options>> architectures(
    std::type_identity<presets::deepseek_v3_options>) {
    using O = presets::deepseek_v3_options;
    const auto read = [](const layer_config& c, const layer_source&) -> O {
        c.require("hidden_act", "silu");
        c.forbid("scoring_func", "softmax");  // some write the name of the selection here
        return {.features = c.integer("hidden_size"),
                .hidden = c.integer("moe_intermediate_size"),
                .experts = c.integer({"n_routed_experts", "num_experts", "num_local_experts"}),
                .per_token = c.integer("num_experts_per_tok"),
                .groups = c.integer("n_group", 1),
                .groups_kept = c.integer("topk_group", 1),
                .normalize = c.flag("norm_topk_prob", true),
                .scale = c.number("routed_scaling_factor", 1.0),
                .shared_experts = c.integer({"n_shared_experts", "num_shared_experts"})};
    };
    const architecture<O> deepseek = {
        .model_types = {"deepseek_v3", "kimi_k2", "glm4_moe", "dots1", "solar_open"},
        .preset = "deepseek_v3",
        .composition = "sigmoid, selection_bias, group_limit (best 2), top_k, [renormalize + 1e-20], scale; swiglu; shared",
        .gate = "mlp.gate.weight",
        .options = read,
        .bindings = [](const O&) -> layer_bindings {
            using detail::operator+;
            return {detail::gate_at("mlp.gate.weight") +
                        detail::bindings_list{detail::bias_at("mlp.gate.e_score_correction_bias")} +
                        detail::shared_at("mlp.shared_experts."),
                    detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
        }};
    architecture<O> exaone = deepseek;
    exaone.model_types = {"exaone_moe"};
    exaone.bindings = [](const O&) -> layer_bindings {
        using detail::operator+;
        return {detail::gate_at("mlp.gate.weight") +
                    detail::bindings_list{detail::bias_at("mlp.e_score_correction_bias")} +
                    detail::shared_at("mlp.shared_experts."),
                detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
    };
    return {deepseek, exaone};
}

inline std::vector<architecture<presets::afmoe_options>> architectures(std::type_identity<presets::afmoe_options>) {
    using O = presets::afmoe_options;
    return {{.model_types = {"afmoe"},
             .preset = "afmoe",
             .composition = "sigmoid, selection_bias, top_k, renormalize + 1e-20, scale; swiglu; shared",
             .gate = "mlp.router.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .scale = c.number("route_scale", 1.0),
                         .shared_experts = c.integer("num_shared_experts")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.router.gate.weight") +
                             detail::bindings_list{detail::bias_at("mlp.expert_bias")} +
                             detail::shared_at("mlp.shared_experts."),
                         detail::gated_experts("mlp.experts."), {"mlp."}, {}, {}};
             }}};
}

namespace detail {

inline bool chooses_by_table(const layer_config& c) { return c.text("mlp_layer_types", "moe") == "hash_moe"; }

inline layer_bindings deepseek_v4_bindings(const bindings_list& router) {
    return {gate_at("ffn.gate.weight") + router + shared_at("ffn.shared_experts.", numbered_names),
            gated_experts("ffn.experts.", numbered_names), {"ffn."}, {}, {}};
}

}  // namespace detail

inline std::vector<architecture<presets::deepseek_v4_options>> architectures(
    std::type_identity<presets::deepseek_v4_options>) {
    using O = presets::deepseek_v4_options;
    return {{.model_types = {"deepseek_v4"},
             .preset = "deepseek_v4",
             .composition = "sqrt_softplus, selection_bias, top_k, renormalize + 1e-20, scale; clamp_before_swiglu; shared",
             .gate = "ffn.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("n_routed_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .scale = c.number("routed_scaling_factor"),
                         .limit = c.number("swiglu_limit"),
                         .shared_experts = c.integer("n_shared_experts")};
             },
             .bindings = [](const O&) { return detail::deepseek_v4_bindings({detail::bias_at("ffn.gate.bias")}); },
             .applies = [](const layer_config& c) { return !detail::chooses_by_table(c); }}};
}

inline std::vector<architecture<presets::deepseek_v4_hash_options>> architectures(
    std::type_identity<presets::deepseek_v4_hash_options>) {
    using O = presets::deepseek_v4_hash_options;
    return {{.model_types = {"deepseek_v4"},
             .preset = "deepseek_v4_hash",
             .composition = "sqrt_softplus, token_table, renormalize + 1e-20, scale; clamp_before_swiglu; shared",
             .gate = "ffn.gate.weight",
             .options = [](const layer_config& c, const layer_source& s) -> O {
                 const checkpoint_tensor& table = s.weights.at(s.prefix + "ffn.gate.tid2eid");
                 O o{.features = c.integer("hidden_size"),
                     .hidden = c.integer("moe_intermediate_size"),
                     .experts = c.integer("n_routed_experts")};
                 o.experts_of = matrix<index_t>(checked_index(table.rows(), "tid2eid: rows"),
                                                checked_index(table.cols(), "tid2eid: columns"));
                 table.read(o.experts_of.view());
                 o.scale = c.number("routed_scaling_factor");
                 o.limit = c.number("swiglu_limit");
                 o.shared_experts = c.integer("n_shared_experts");
                 return o;
             },
             .bindings = [](const O&) {
                 layer_bindings l = detail::deepseek_v4_bindings({});
                 l.read_apart = {"ffn.gate.tid2eid"};
                 return l;
             },
             .applies = detail::chooses_by_table}};
}

inline std::vector<architecture<presets::lfm2_moe_options>> architectures(
    std::type_identity<presets::lfm2_moe_options>) {
    using O = presets::lfm2_moe_options;
    return {{.model_types = {"lfm2_moe"},
             .preset = "lfm2_moe",
             .composition = "sigmoid, selection_bias, top_k, [renormalize + 1e-6], scale; swiglu",
             .gate = "feed_forward.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("moe_intermediate_size"),
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .normalize = c.flag("norm_topk_prob", true),
                         .scale = c.number("routed_scaling_factor", 1.0)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 weight_binding bias = detail::bias_at("feed_forward.expert_bias");
                 bias.optional = true;
                 return {detail::gate_at("feed_forward.gate.weight") + detail::bindings_list{bias},
                         detail::gated_experts("feed_forward.experts.", detail::numbered_names), {"feed_forward."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::minimax_m2_options>> architectures(
    std::type_identity<presets::minimax_m2_options>) {
    using O = presets::minimax_m2_options;
    return {{.model_types = {"minimax_m2"},
             .preset = "minimax_m2",
             .composition = "sigmoid, selection_bias, top_k, renormalize; swiglu",
             .gate = "block_sparse_moe.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("block_sparse_moe.gate.weight") +
                             detail::bindings_list{detail::bias_at("block_sparse_moe.e_score_correction_bias")},
                         detail::gated_experts("block_sparse_moe.experts.", detail::numbered_names),
                         {"block_sparse_moe."}, {}, {}};
             }}};
}

}  // namespace io

MOE_END
