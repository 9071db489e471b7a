// bench/support: which experts the tokens of a run use
// SPDX-License-Identifier: Apache-2.0
//
//   uniform   every expert as likely as any other. A run of few tokens takes the experts that were not used for
//             longest, so that their weights are cold
//   zipf      the first choice is expert e with a probability ~ 1 / (e + 1)
//   one_hot   all tokens use the same experts
//   trace     what a file recorded: a line per token, the numbers of its experts. bench/data/routes-E-K.txt for a layer
//             with E experts and K of them a token; where there is none, and --trace names no other file, the layer has
//             no such load
#pragma once

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "moe/testing/generators.hpp"
#include "support/shapes.hpp"

namespace bench {

enum class load { uniform, zipf, one_hot, trace };
inline const char* name_of(load kind) {
    constexpr const char* names[] = {"uniform", "zipf", "one_hot", "trace"};
    return names[static_cast<int>(kind)];
}

// The file that holds the trace of a layer, "" if there is none.
inline std::string trace_file(const layer_shape& shape) {
    if (!options().trace.empty()) return options().trace;
    const std::string name = "routes-" + std::to_string(shape.experts) + "-" + std::to_string(shape.per_token) + ".txt";
    const std::filesystem::path recorded = std::filesystem::path(MOE_BENCH_DATA) / name;
    return std::filesystem::exists(recorded) ? recorded.string() : std::string();
}

inline std::vector<load> loads(const layer_shape& shape) {
    std::vector<load> list{load::uniform, load::zipf, load::one_hot};
    if (!trace_file(shape).empty()) list.push_back(load::trace);
    return list;
}

// The experts of a line; throws where they are not K distinct ones of E.
inline std::vector<index_t> experts_in(const std::string& line, const layer_shape& shape) {
    std::istringstream words(line);
    std::vector<index_t> experts;
    for (index_t e = 0; words >> e;) experts.push_back(e);
    std::vector<index_t> sorted = experts;
    std::sort(sorted.begin(), sorted.end());
    const bool distinct = std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
    const bool fit = !sorted.empty() && sorted.front() >= 0 && sorted.back() < shape.experts;
    if (!words.eof() || experts.size() != std::size_t(shape.per_token) || !distinct || !fit) {
        throw std::runtime_error("trace: layer " + std::string(shape.name) + " wants " +
                                 std::to_string(shape.per_token) + " distinct experts below " +
                                 std::to_string(shape.experts) + " in every line, got: " + line);
    }
    return experts;
}

// The recorded experts [tokens * per_token], read once.
inline const std::vector<index_t>& recorded(const layer_shape& shape) {
    static std::vector<index_t> experts;
    static const char* read_for = nullptr;
    if (read_for == shape.name) return experts;
    experts.clear();
    const std::string name = trace_file(shape);
    std::ifstream file(name);
    if (!file) throw std::runtime_error("trace: cannot read " + name);
    for (std::string line; std::getline(file, line);) {
        const std::vector<index_t> of_token = experts_in(line, shape);
        experts.insert(experts.end(), of_token.begin(), of_token.end());
    }
    if (experts.empty()) throw std::runtime_error("trace: no tokens in " + name);
    read_for = shape.name;
    return experts;
}

inline bool few_tokens(const layer_shape& shape, index_t tokens) {
    return tokens == 1 || 4 * tokens * shape.per_token <= shape.experts;
}

// After so many turns the experts of the first come again.
inline index_t turns_of(load kind, const layer_shape& shape, index_t tokens) {
    if (kind == load::one_hot) return 1;
    if (kind == load::uniform && few_tokens(shape, tokens)) return shape.experts / (tokens * shape.per_token);
    return 4;
}

// Experts of every token of a turn, per_token distinct ones each.
inline std::vector<index_t> experts_of(load kind, const layer_shape& shape, index_t tokens, index_t turn) {
    std::vector<index_t> chosen(static_cast<std::size_t>(tokens * shape.per_token));
    const auto size = static_cast<index_t>(chosen.size());
    const auto seed = static_cast<std::uint64_t>(turn) + 1;
    switch (kind) {
        case load::uniform:
            if (!few_tokens(shape, tokens)) {
                return moe::testing::zipf_choice(tokens, shape.experts, shape.per_token, 0, seed);
            }
            for (index_t i = 0; i < size; ++i) chosen[std::size_t(i)] = (turn * size + i) % shape.experts;
            return chosen;
        case load::zipf: return moe::testing::zipf_choice(tokens, shape.experts, shape.per_token, 1, seed);
        case load::one_hot:
            for (index_t i = 0; i < size; ++i) chosen[std::size_t(i)] = i % shape.per_token;
            return chosen;
        case load::trace: break;
    }
    const std::vector<index_t>& trace = recorded(shape);
    for (index_t i = 0; i < size; ++i) {
        const std::size_t at = std::size_t(turn) * chosen.size() + std::size_t(i);
        chosen[std::size_t(i)] = trace[at % trace.size()];
    }
    return chosen;
}

}  // namespace bench
