// tests/metrics: hand-made traces, plans and routings
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moe/backend/reference.hpp"
#include "support/catch.hpp"

namespace hand_made {

using moe::index_t;

// Routes of tokens with `k` slots each, and everything that is derived from them.
struct routes {
    std::vector<index_t> offset, expert;
    std::vector<double> weight;
    moe::matrix<double> scores;
    moe::batch<double> in;
    moe::routing<double> routing;
    moe::arena memory;
    moe::plan_view plan;

    routes(std::vector<index_t> experts_of_slots, index_t k, index_t experts, std::vector<double> weights = {},
           moe::matrix<double> all_scores = {})
        : expert(std::move(experts_of_slots)), weight(std::move(weights)), scores(std::move(all_scores)) {
        const index_t tokens = index_t(expert.size()) / k;
        for (index_t t = 0; t <= tokens; ++t) offset.push_back(t * k);
        weight.resize(expert.size(), 1.0);
        if (scores.rows() == 0) scores = moe::matrix<double>(tokens, experts);
        in.x = scores;
        routing.batch_of_call = &in;
        routing.experts = experts;
        routing.scores = routing.keys = scores;
        routing.routes.offset = offset;
        routing.routes.expert = expert;
        routing.routes.weight = weight;
        routing.routes.per_token = k;
        moe::reference b;
        plan = moe::kernels<moe::reference_tag>::build_plan(b, tokens, experts, offset, expert, memory);
    }
    routes(const routes&) = delete;
};

inline moe::matrix<double> rows(std::vector<std::vector<double>> values) {
    moe::matrix<double> m(index_t(values.size()), index_t(values.front().size()));
    for (std::size_t i = 0; i < values.size(); ++i) std::copy(values[i].begin(), values[i].end(), &m(index_t(i), 0));
    return m;
}

}  // namespace hand_made
