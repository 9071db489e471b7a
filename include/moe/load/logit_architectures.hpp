// load/logit_architectures: architectures whose routers choose by logits and weigh what they chose
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/load/architecture.hpp"
#include "moe/presets/cohere2_moe.hpp"
#include "moe/presets/cohere2_moe_sum.hpp"
#include "moe/presets/doge.hpp"
#include "moe/presets/gpt_oss.hpp"
#include "moe/presets/llama4.hpp"
#include "moe/presets/phimoe.hpp"

MOE_BEGIN

namespace io {

inline std::vector<architecture<presets::gpt_oss_options>> architectures(std::type_identity<presets::gpt_oss_options>) {
    using O = presets::gpt_oss_options;
    return {{.model_types = {"gpt_oss"},
             .preset = "gpt_oss",
             .composition = "gate bias, top_k, softmax_selected; scaled_swiglu with biases",
             .gate = "mlp.router.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .limit = c.number("swiglu_limit", 7.0)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 const std::string at = "mlp.experts.";
                 const std::string gate_up = at + "gate_up_proj", down = at + "down_proj";
                 const detail::bindings_list biases = {
                     {.parameter = "experts.gate_bias", .tensor = gate_up + "_bias", .rows = weight_rows::even},
                     {.parameter = "experts.up_bias", .tensor = gate_up + "_bias", .rows = weight_rows::odd},
                     {.parameter = "experts.down_bias", .tensor = down + "_bias"}};
                 return {detail::gate_at("mlp.router.weight") +
                             detail::bindings_list{{.parameter = "router.0.bias", .tensor = "mlp.router.bias",
                                                    .flattened = true}} + biases,
                         detail::gpt_oss_experts(gate_up, down), {"mlp."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::llama4_options>> architectures(std::type_identity<presets::llama4_options>) {
    using O = presets::llama4_options;
    return {{.model_types = {"llama4", "llama4_text"},
             .preset = "llama4",
             .composition = "top_k, sigmoid_selected; weigh_input of swiglu; shared",
             .gate = "feed_forward.router.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 const std::string at = "feed_forward.experts.";
                 return {detail::gate_at("feed_forward.router.weight") +
                             detail::shared_at("feed_forward.shared_expert."),
                         {{expert_layout::stacked_transposed,
                           detail::merged_at(at + "gate_up_proj", at + "down_proj", "experts", true)},
                          {expert_layout::per_expert, detail::gated_at(at + "{e}.", "experts")}},
                         {"feed_forward."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::phimoe_options>> architectures(std::type_identity<presets::phimoe_options>) {
    using O = presets::phimoe_options;
    return {{.model_types = {"phimoe"},
             .preset = "phimoe",
             .composition = "sparsemixer; swiglu",
             .gate = "block_sparse_moe.gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_local_experts"),
                         .per_token = c.integer("num_experts_per_tok"),
                         .epsilon = c.number("router_jitter_noise", 0.01)};
             },
             .bindings = [](const O&) -> layer_bindings {
                 return {detail::gate_at("block_sparse_moe.gate.weight"),
                         detail::gated_experts("block_sparse_moe.experts.", detail::numbered_names),
                         {"block_sparse_moe."}, {}, {}};
             }}};
}

inline std::vector<architecture<presets::doge_options>> architectures(std::type_identity<presets::doge_options>) {
    using O = presets::doge_options;
    return {{.model_types = {"doge"},
             .preset = "doge",
             .composition = "product_keys, softmax_selected; rank_one silu; shared",
             .gate = "mlp.router_gate.weight",
             .options = [](const layer_config& c, const layer_source&) -> O {
                 c.require("hidden_act", "silu");
                 return {.features = c.integer("hidden_size"),
                         .shared_hidden = c.integer("intermediate_size"),
                         .experts = c.integer("num_experts"),
                         .per_token = c.integer("num_experts_per_tok")};
             },
             .bindings = [](const O&) -> layer_bindings {
                 using detail::operator+;
                 return {detail::gate_at("mlp.router_gate.weight") + detail::shared_at("mlp."),
                         detail::only(expert_layout::stacked_separate,
                                      {{.parameter = "experts.in", .tensor = "mlp.down_embed.weight"},
                                       {.parameter = "experts.out", .tensor = "mlp.up_embed.weight"}}),
                         {"mlp."}, {}, {}};
             }}};
}

namespace detail {

template <class O>
architecture<O> cohere2(const char* preset, const char* composition, bool (*applies)(const layer_config&)) {
    return {.model_types = {"cohere2_moe"},
            .preset = preset,
            .composition = composition,
            .gate = "mlp.gate.weight",
            .options = [](const layer_config& c, const layer_source&) -> O {
                c.require("hidden_act", "silu");
                const bool sigmoid = c.text("expert_selection_fn", "softmax") == "sigmoid";
                using scores = presets::cohere2_moe_scores;
                return {.features = c.integer("hidden_size"),
                        .hidden = c.integer({"moe_intermediate_size", "intermediate_size"}),
                        .experts = c.integer("num_experts"),
                        .per_token = c.integer("num_experts_per_tok"),
                        .scores = sigmoid ? scores::sigmoid : scores::softmax,
                        .normalize = c.flag("norm_topk_prob", true),
                        .shared_experts = c.integer("num_shared_experts")};
            },
            .bindings = [](const O&) -> layer_bindings {
                using detail::operator+;
                return {gate_at("mlp.gate.weight") + shared_at("mlp.shared_experts."), gated_experts("mlp.experts."),
                        {"mlp."}, {}, {}};
            },
            .applies = applies};
}

}  // namespace detail

inline std::vector<architecture<presets::cohere2_moe_options>> architectures(
    std::type_identity<presets::cohere2_moe_options>) {
    return {detail::cohere2<presets::cohere2_moe_options>(
        "cohere2_moe", "top_k, softmax_selected or sigmoid_selected, [renormalize]; swiglu; averaged_shared",
        [](const layer_config& c) { return c.text("shared_expert_combination_strategy", "average") == "average"; })};
}

inline std::vector<architecture<presets::cohere2_moe_sum_options>> architectures(
    std::type_identity<presets::cohere2_moe_sum_options>) {
    return {detail::cohere2<presets::cohere2_moe_sum_options>(
        "cohere2_moe_sum", "top_k, softmax_selected or sigmoid_selected, [renormalize]; swiglu; shared",
        [](const layer_config& c) { return c.text("shared_expert_combination_strategy", "average") == "sum"; })};
}

}  // namespace io

MOE_END
