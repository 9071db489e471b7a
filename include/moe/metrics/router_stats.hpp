// metrics/router_stats: routing -> how decided a router is
// SPDX-License-Identifier: Apache-2.0
//
//     entropy        mean over live tokens of -sum p ln p          0 decided, ln E undecided
//     mean_entropy   entropy of the mean probabilities             ln E: all experts are wanted alike
//     confidence     mean over live tokens of the largest p
//     effective      mean over live tokens of (sum w)^2 / sum w^2 over its routes: experts that carry the output
//     experts [E]    mean probability of every expert
//
// p are the scores of the routing divided by their sum (softmax scores stay as they are; rows that sum to 0 are left out).
// mean_entropy - entropy is the mutual information of token and expert. No live token: zeros.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "moe/core/routes.hpp"

MOE_BEGIN

struct router_stats {
    double entropy = 0.0;
    double mean_entropy = 0.0;
    double confidence = 0.0;
    double effective = 0.0;
    index_t tokens = 0;           // that were counted
    std::vector<double> experts;  // [E]

    template <class T>
    explicit router_stats(const routing<T>& s) : experts(static_cast<std::size_t>(s.scores.cols), 0.0) {
        double routed = 0.0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (!s.in().live(t)) continue;
            add_scores(s.scores, t);
            const double n = effective_routes(s.routes, t);
            effective += n;
            routed += n > 0.0 ? 1.0 : 0.0;
        }
        if (routed > 0.0) effective /= routed;
        if (tokens == 0) return;
        entropy /= tokens;
        confidence /= tokens;
        for (double& p : experts) {
            p /= tokens;
            if (p > 0.0) mean_entropy -= p * std::log(p);
        }
    }

private:
    template <class T>
    void add_scores(matrix_view<const T> scores, index_t t) {
        double sum = 0.0;
        for (index_t e = 0; e < scores.cols; ++e) sum += static_cast<double>(scores(t, e));
        if (!(sum > 0.0)) return;
        double top = 0.0;
        for (index_t e = 0; e < scores.cols; ++e) {
            const double p = static_cast<double>(scores(t, e)) / sum;
            if (p > 0.0) entropy -= p * std::log(p);
            experts[static_cast<std::size_t>(e)] += p;
            top = std::max(top, p);
        }
        confidence += top;
        ++tokens;
    }

    template <class T>
    static double effective_routes(const routes<T>& r, index_t t) {
        double sum = 0.0;
        double squares = 0.0;
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            const double w = static_cast<double>(r.weight[static_cast<std::size_t>(i)]);
            sum += w;
            squares += w * w;
        }
        return squares > 0.0 ? sum * sum / squares : 0.0;
    }
};

MOE_END
