// load/architecture: what the loader knows of an architecture, as data
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "moe/io/bind_weights.hpp"
#include "moe/load/layer_config.hpp"

MOE_BEGIN

namespace io {

// The weights of a model, and what stands in front of the names of the layer in question.
struct layer_source {
    const checkpoint& weights;
    std::string prefix;
};

template <class Options>
struct architecture {
    std::vector<const char*> model_types;  // of config.json
    const char* preset;
    const char* composition;
    const char* gate;  // name of a tensor that only layers with experts have
    Options (*options)(const layer_config&, const layer_source&);
    layer_bindings (*bindings)(const Options&);
    std::vector<std::string> prefixes = {"model.layers.{n}.", "model.language_model.layers.{n}.",
                                         "language_model.model.layers.{n}.", "layers.{n}."};
    bool (*applies)(const layer_config&) = nullptr;  // of several with the same model_type, to which layers
};

namespace detail {

using bindings_list = std::vector<weight_binding>;

inline bindings_list operator+(bindings_list a, const bindings_list& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

struct gated_names {
    const char* gate = "gate_proj";
    const char* up = "up_proj";
    const char* down = "down_proj";
};
inline constexpr gated_names numbered_names = {"w1", "w3", "w2"};

inline bindings_list gate_at(const char* tensor) { return {{.parameter = "router.0.weight", .tensor = tensor}}; }

inline weight_binding bias_at(const char* tensor) {
    return {.parameter = "router.2.bias", .tensor = tensor, .flattened = true};
}

// One expert of three matrices: PREFIX gate_proj.weight.
inline bindings_list gated_at(const std::string& prefix, const std::string& part, const gated_names& n = {}) {
    return {{.parameter = part + ".gate", .tensor = prefix + n.gate + ".weight"},
            {.parameter = part + ".up", .tensor = prefix + n.up + ".weight"},
            {.parameter = part + ".down", .tensor = prefix + n.down + ".weight"}};
}
inline bindings_list shared_at(const std::string& prefix, const gated_names& n = {}) {
    return gated_at(prefix, "shared", n);
}

// Gate and up as halves of one tensor, or in turns.
inline bindings_list merged_at(const std::string& gate_up, const std::string& down, const std::string& part,
                               bool transposed, bool in_turns = false) {
    const auto first = in_turns ? weight_rows::even : weight_rows::first_half;
    const auto second = in_turns ? weight_rows::odd : weight_rows::second_half;
    return {{.parameter = part + ".gate", .tensor = gate_up, .rows = first, .transposed = transposed},
            {.parameter = part + ".up", .tensor = gate_up, .rows = second, .transposed = transposed},
            {.parameter = part + ".down", .tensor = down, .transposed = transposed}};
}

// gpt-oss: plain weights stand the other way round than packed ones.
inline std::vector<expert_bindings> gpt_oss_experts(const std::string& gate_up, const std::string& down) {
    std::vector<expert_bindings> all = {
        {expert_layout::interleaved, merged_at(gate_up, down, "experts", true, true)},
        {expert_layout::interleaved_rows, merged_at(gate_up, down, "experts", false, true)}};
    for (weight_binding& b : all[0].tensors) b.packing = weight_packing::plain;
    for (weight_binding& b : all[1].tensors) b.packing = weight_packing::mxfp4;
    return all;
}

inline std::vector<expert_bindings> only(expert_layout layout, bindings_list tensors) {
    return {{layout, std::move(tensors)}};
}

// Gated experts below PREFIX in the layouts that programs write them in.
inline std::vector<expert_bindings> gated_experts(const std::string& prefix, const gated_names& n = {},
                                                  const std::string& part = "experts") {
    const std::string gate_up = prefix + "gate_up_proj", down = prefix + "down_proj";
    return {{expert_layout::per_expert, gated_at(prefix + "{e}.", part, n)},
            {expert_layout::stacked, merged_at(gate_up, down, part, false)},
            {expert_layout::stacked_transposed, merged_at(gate_up, down, part, true)},
            {expert_layout::stacked_separate,
             {{.parameter = part + ".gate", .tensor = prefix + "gate_proj"},
              {.parameter = part + ".up", .tensor = prefix + "up_proj"},
              {.parameter = part + ".down", .tensor = down}}}};
}

// Granite and JetMoE: PREFIX input_linear.weight [E, 2H, D].
inline std::vector<expert_bindings> linear_experts(const std::string& prefix) {
    return only(expert_layout::stacked,
                merged_at(prefix + "input_linear.weight", prefix + "output_linear.weight", "experts", false));
}

}  // namespace detail

}  // namespace io

MOE_END
