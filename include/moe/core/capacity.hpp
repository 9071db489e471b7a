// core/capacity: how many tokens an expert takes at most, a pure function of its arguments
// SPDX-License-Identifier: Apache-2.0
//
//     capacity = max(least, round(factor * routes / experts)), up to a multiple, then clamped to [0, tokens]
//
// in double; routes is k * tokens. GShard, DeepSpeed and Megatron round up, expert choice and MegaBlocks down, flaxformer
// to the nearest (half to even). Tutel's form, `per_choice`, is k * round(factor * ceil(tokens / experts)). An infinite
// factor is no limit. A count given outright replaces the formula and is clamped alike.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "moe/core/error.hpp"

MOE_BEGIN

enum class rounding { down, up, nearest };

struct capacity_rule {
    double factor = 1.0;
    std::optional<index_t> count = std::nullopt;
    rounding round = rounding::up;
    index_t least = 0;
    index_t multiple = 1;
    bool per_choice = false;
};

MOE_FN inline double rounded(double value, rounding how) {
    if (how == rounding::down) return std::floor(value);
    return how == rounding::up ? std::ceil(value) : std::nearbyint(value);
}

MOE_FN inline index_t expert_capacity(const capacity_rule& rule, index_t tokens, std::int64_t routes, index_t experts) {
    if (rule.count) return *rule.count < tokens ? (*rule.count < 0 ? 0 : *rule.count) : tokens;
    if (tokens == 0) return 0;
    const double n = tokens;
    const double all = static_cast<double>(routes);
    // An infinite factor sets no limit, and no number to no routes.
    double wanted = 0.0;
    if (routes > 0 && rule.per_choice) {
        wanted = std::ceil(all / n) * rounded(rule.factor * std::ceil(n / experts), rule.round);
    } else if (routes > 0) {
        wanted = rounded(rule.factor * all / experts, rule.round);
    }
    const double least = static_cast<double>(rule.least);
    const double aligned = std::ceil((wanted < least ? least : wanted) / rule.multiple) * rule.multiple;
    return static_cast<index_t>(n < aligned ? n : aligned);
}

namespace detail {

// `part` names the step whose options these are.
inline void check_capacity(const char* part, const capacity_rule& rule) {
    const auto name = [part](const char* option) { return std::string(part) + option; };
    if (rule.count && *rule.count < 0) throw_value(name(".count"), "at least 0", std::to_string(*rule.count));
    if (!(rule.factor >= 0.0)) throw_value(name(".factor"), "at least 0", std::to_string(rule.factor));
    if (rule.least < 0) throw_value(name(".least"), "at least 0", std::to_string(rule.least));
    if (rule.multiple < 1) throw_value(name(".multiple"), "at least 1", std::to_string(rule.multiple));
}

}  // namespace detail

// The options of the route steps with a capacity; route/capacity_rules says what they mean.
enum class capacity_scope { batch, sequence, rows };
enum class capacity_priority { order, last, choice_rank, token_score, score, random };

struct capacity_options {
    double factor = 1.0;                         // C = round(factor * k n / E)
    std::optional<index_t> count = std::nullopt;  // C outright
    rounding round = rounding::up;
    index_t least = 0;                           // C is at least this
    index_t multiple = 1;                        // and a multiple of this, and at most n
    bool per_choice = false;                     // C = k round(factor * ceil(n / E))
    capacity_scope scope = capacity_scope::batch;
    index_t rows = 0;                            // tokens of a block, with scope rows
    capacity_priority priority = capacity_priority::order;
};

MOE_END
