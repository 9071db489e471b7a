// load/gguf_names: where the weights of a layer stand in a GGUF file
// SPDX-License-Identifier: Apache-2.0
//
//     blk.N.ffn_gate_inp.weight .bias                          the gate of the router and its bias
//     blk.N.exp_probs_b.bias                                   the selection bias
//     blk.N.ffn_gate_exps.weight .bias, ffn_up_, ffn_down_     the experts [E,H,D] [E,H,D] [E,D,H], or gate and up as
//     blk.N.ffn_gate_up_exps.weight                            halves of one tensor, gate first
//     blk.N.ffn_gate_shexp.weight, ffn_up_, ffn_down_          shared experts
//     blk.N.ffn_gate_inp_shexp.weight                          the gate of shared experts that have one
//
// Every architecture has the same names, so they follow from the parameters that an architecture binds; how the files
// of transformers hold them does not matter.
//
// source        gguf/constants.py TENSOR_NAMES, version 0.19; llama.cpp convert_hf_to_gguf.py
#pragma once

#include "moe/load/architecture.hpp"

MOE_BEGIN

namespace io::detail {

inline constexpr const char* gguf_gate = "ffn_gate_inp.weight";

// The tensor of a parameter; gated: whether the shared experts have a gate of their own.
inline std::string gguf_tensor(const std::string& parameter, bool gated) {
    if (parameter == "router.0.weight") return gguf_gate;
    if (parameter == "router.0.bias") return "ffn_gate_inp.bias";
    if (parameter.starts_with("router.") && parameter.ends_with(".bias")) return "exp_probs_b.bias";
    if (parameter == "shared.gate" && gated) return "ffn_gate_inp_shexp.weight";
    for (const std::string which : {"gate", "up", "down"}) {
        if (parameter == "experts." + which) return "ffn_" + which + "_exps.weight";
        if (parameter == "experts." + which + "_bias") return "ffn_" + which + "_exps.bias";
        const bool shared = parameter == "shared." + which || parameter == "shared.experts." + which;
        if (shared) return "ffn_" + which + "_shexp.weight";
    }
    throw io_error(moe::detail::wanted_got("a GGUF file: parameter " + parameter, "one that has a name there", "none"));
}

// Vectors may have a leading dimension of one.
inline weight_binding gguf_binding(const weight_binding& from, bool gated) {
    weight_binding b{.parameter = from.parameter, .tensor = gguf_tensor(from.parameter, gated)};
    b.optional = from.optional;
    const bool of_router = from.parameter.starts_with("router.");
    b.flattened = of_router ? b.tensor.ends_with(".bias") : b.tensor.starts_with("ffn_gate_inp_");
    return b;
}

inline layer_bindings gguf_bindings(const layer_bindings& from) {
    const auto gate_of_shared = [](const weight_binding& b) { return b.parameter.starts_with("shared.experts."); };
    const bool gated = std::any_of(from.fixed.begin(), from.fixed.end(), gate_of_shared);
    layer_bindings to;
    for (const weight_binding& b : from.fixed) to.fixed.push_back(gguf_binding(b, gated));
    bindings_list separate;
    for (const weight_binding& b : from.experts.front().tensors) separate.push_back(gguf_binding(b, gated));
    const auto merged = merged_at("ffn_gate_up_exps.weight", "ffn_down_exps.weight", "experts", false);
    to.experts = {{expert_layout::stacked_separate, separate}, {expert_layout::stacked, merged}};
    to.scopes = {"ffn_gate_inp", "exp_probs_b",    "ffn_gate_exps", "ffn_up_exps",   "ffn_down_exps",
                 "ffn_gate_up_exps", "ffn_gate_shexp", "ffn_up_shexp",  "ffn_down_shexp"};
    return to;
}

}  // namespace io::detail

MOE_END
