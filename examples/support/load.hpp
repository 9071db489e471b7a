// examples/support/load: plans -> how many routes each expert got
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "moe/core/plan.hpp"

namespace example {

// Routes of the first count.size() experts; null experts stand behind them.
inline void add_load(std::vector<double>& count, const moe::plan_view& plan) {
    for (std::size_t e = 0; e < count.size(); ++e) count[e] += plan.count(static_cast<moe::index_t>(e));
}

// 1 if every expert has the same load, 0 if there is none.
inline double max_over_mean(const std::vector<double>& count) {
    double sum = 0;
    for (const double n : count) sum += n;
    return sum == 0 ? 0 : *std::max_element(count.begin(), count.end()) * static_cast<double>(count.size()) / sum;
}

}  // namespace example
