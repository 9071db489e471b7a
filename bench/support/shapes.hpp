// bench/support: the layers that are measured
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "support/options.hpp"

namespace bench {

struct layer_shape {
    const char* name;
    index_t features, hidden, experts, per_token;

    double expert_parameters() const { return 3.0 * features * hidden; }
    // Of a forward pass; a training step does three times as much.
    double operations(index_t tokens) const {
        return 2.0 * tokens * per_token * expert_parameters() + 2.0 * tokens * features * experts;
    }
};

// A to D have the sizes of published models; E and F are no multiples of anything.
inline const std::vector<layer_shape>& shapes() {
    static const std::vector<layer_shape> real{
        {"A", 2048, 768, 128, 8},   // Qwen3-30B-A3B
        {"B", 2048, 1024, 64, 8},   // OLMoE
        {"C", 1024, 3584, 8, 2},    // Mixtral, smaller
        {"D", 2048, 1408, 64, 6},   // DeepSeek-V2-Lite, routed experts
        {"E", 2880, 2880, 32, 4},   // gpt-oss-20b
        {"F", 1000, 333, 17, 3},
    };
    static const std::vector<layer_shape> tiny{{"tiny", 64, 48, 8, 2}, {"tiny_odd", 37, 29, 5, 3}};
    return options().tiny ? tiny : real;
}

// Also a router with many experts.
inline const std::vector<layer_shape>& router_shapes() {
    static const std::vector<layer_shape> all = [] {
        std::vector<layer_shape> of = shapes();
        if (!options().tiny) of.push_back({"G", 2048, 512, 512, 10});  // Qwen3-Next
        return of;
    }();
    return all;
}

inline const std::vector<index_t>& token_counts() {
    static const std::vector<index_t> real{1, 2, 4, 8, 16, 32, 64, 128, 512, 2048}, tiny{1, 7};
    return options().tiny ? tiny : real;
}

// kind/f32/B/T:512/threads:2/uniform
inline std::string run_name(const std::string& kind, const char* scalar, const layer_shape& shape, index_t tokens,
                            index_t threads, const char* load) {
    return kind + "/" + scalar + "/" + shape.name + "/T:" + std::to_string(tokens) +
           std::string("/threads:") + std::to_string(threads) + "/" + load;
}

}  // namespace bench
