// tests/papers: a whole router on probabilities or logits written by hand
#pragma once

#include "moe/gate/linear.hpp"
#include "moe/layer/router.hpp"
#include "moe/score/softmax.hpp"
#include "select/hand.hpp"
#include "support/tolerance.hpp"

namespace hand {

struct routed {
    ids offset, expert;
    std::vector<double> weight;

    // The live experts of a token, in slot order.
    ids of(std::size_t t) const {
        ids live;
        for (moe::index_t i = offset[t]; i < offset[t + 1]; ++i) {
            if (expert[std::size_t(i)] >= 0) live.push_back(expert[std::size_t(i)]);
        }
        return live;
    }
    double weight_of(std::size_t t, moe::index_t e) const {
        for (moe::index_t i = offset[t]; i < offset[t + 1]; ++i) {
            if (expert[std::size_t(i)] == e) return weight[std::size_t(i)];
        }
        return 0;
    }
    moe::index_t load(moe::index_t e) const { return moe::index_t(std::count(expert.begin(), expert.end(), e)); }
};

// The gate is the identity: the rows are the logits.
template <class... Steps>
routed route_logits(const std::vector<std::vector<double>>& logits, moe::batch<double> in, Steps... steps) {
    const auto x = rows_of(logits);
    moe::linear_gate<double> gate({.features = x.cols(), .experts = x.cols()});
    const auto weight = moe::flat(gate.weight);
    std::fill(weight.begin(), weight.end(), 0.0);
    for (moe::index_t e = 0; e < x.cols(); ++e) gate.weight(0, e, e) = 1.0;
    const moe::router router{gate, steps...};
    moe::reference backend;
    moe::arena memory;
    in.x = x;
    in.features = x;
    router.check(in);
    const auto s = router.route(backend, in, memory);
    return {ids(s.routes.offset.begin(), s.routes.offset.end()), ids(s.routes.expert.begin(), s.routes.expert.end()),
            std::vector<double>(s.routes.weight.begin(), s.routes.weight.end())};
}

// The scores are these probabilities, up to rounding.
template <class... Steps>
routed route_probabilities(std::vector<std::vector<double>> p, moe::batch<double> in, Steps... steps) {
    for (auto& row : p) {
        for (double& v : row) v = std::log(v);
    }
    return route_logits(p, in, moe::softmax{}, steps...);
}

}  // namespace hand
