// tests/golden: a preset with the options of a golden against that golden
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compare.hpp"
#include "moe/presets.hpp"
#include "settings.hpp"

namespace golden {

inline void take(const file& g, const char* key, moe::index_t& to) {
    if (g.states(key)) to = index(g, key);
}
inline void take(const file& g, const char* key, double& to) {
    if (g.states(key)) to = g.number(key);
}
inline void take(const file& g, const char* key, std::optional<double>& to) {
    if (g.states(key)) to = g.number(key);
}
inline void take(const file& g, const char* key, std::optional<moe::index_t>& to) {
    if (g.states(key)) to = index(g, key);
}
inline void take(const file& g, const char* key, bool& to) {
    if (g.states(key)) to = g.number(key) != 0;
}

/// The options of a preset, by the names that goldens have for them.
template <class O>
O options_of(const file& g) {
    O o;
    take(g, "features", o.features);
    take(g, "experts", o.experts);
    if constexpr (requires { o.hidden; }) take(g, "hidden", o.hidden);
    if constexpr (requires { o.capacity; }) take(g, "capacity", o.capacity);
    if constexpr (requires { o.per_token; }) take(g, "k", o.per_token);
    if constexpr (requires { o.normalize; }) take(g, "normalize", o.normalize);
    if constexpr (requires { o.scale; }) take(g, "scale", o.scale);
    if constexpr (requires { o.groups; }) take(g, "groups", o.groups);
    if constexpr (requires { o.groups_kept; }) take(g, "keep", o.groups_kept);
    if constexpr (requires { o.shared_hidden; }) take(g, "shared_hidden", o.shared_hidden);
    if constexpr (requires { o.shared_experts; }) o.shared_experts = index(g, "shared_hidden") / index(g, "hidden");
    if constexpr (requires { o.limit; }) take(g, "limit", o.limit);
    if constexpr (requires { o.alpha; }) take(g, "alpha", o.alpha);
    if constexpr (requires { o.latent; }) take(g, "latent", o.latent);
    if constexpr (requires { o.vision_hidden; }) take(g, "vision_hidden", o.vision_hidden);
    if constexpr (requires { o.router_bias; }) o.router_bias = g.has("gate_bias");
    if constexpr (requires { o.p; }) take(g, "p_norm", o.p);
    if constexpr (requires { o.capacity_fraction; }) {
        take(g, "capacity_fraction", o.capacity_fraction);
        take(g, "prioritized", o.prioritized);
        take(g, "normalize_before_drop", o.normalize_before_drop);
        take(g, "token_dropout", o.token_dropout);
    }
    if constexpr (requires { o.experts_of; }) o.experts_of = matrix_of<moe::index_t>(g["table"]);
    if constexpr (requires { o.identity_experts; }) {
        take(g, "identity_experts", o.identity_experts);
        o.experts -= o.identity_experts;
    }
    return o;
}

/// Where presets keep what goldens name.
inline const std::vector<binding> of_presets = with(with(shared, biases), {{"router.2.bias", "selection_bias"},
                                                                           {"router.3.bias", "selection_bias"},
                                                                           {"experts.0.gate", "w_gate"},
                                                                           {"experts.0.up", "w_up"},
                                                                           {"experts.0.down", "w_down"}});

template <class Backend, class Layer, class Options>
void compare_preset(Layer (*preset)(const Options&), const std::string& name,
                    const std::vector<binding>& bindings = of_presets,
                    const extras<typename Layer::scalar>& with = {}) {
    INFO(name);
    const file g(data, name);
    Layer layer = preset(options_of<Options>(g));
    compare<Backend>(layer, g, bindings, with);
}

}  // namespace golden
