// train/loss: routing of a tape and labels -> minus the information that the expert has about the group of a token
// SPDX-License-Identifier: Apache-2.0
//
//     p_g[e] = mean over live tokens with label g of P[t][e],   m = mean over groups of p_g
//     L = -coefficient * (H(m) - mean over groups of H(p_g)),   H(p) = -sum p ln p
//
// Groups (teachers, tasks, domains) are pushed to experts of their own while all experts stay in use. Source: VER's teacher
// loss. Groups count alike whatever their sizes; labels below 0 or without tokens take no part. -ln of the number of groups
// for disjoint groups on one expert each, 0 for groups that are routed alike.
// edges         p = 0 adds 0 to value and gradient; no group with a live token: 0
// gradient      dL/dP[t][e] = coefficient / (groups * tokens of g) * (ln m[e] - ln p_g[e]), then as `from` says
// errors        no batch.label; groups below 1; columns other than experts; a coefficient that is not finite
#pragma once

#include "moe/train/token_entropy.hpp"

MOE_BEGIN

struct group_mutual_information {
    static constexpr const char* name = "group_mutual_information";

    double coefficient = 1.0;
    index_t groups = 1;  // labels 0 .. groups - 1
    probabilities from = probabilities::scores;

    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        require_host_readable<B>();
        const routing<T>& s = tape.routing();
        detail::require_finite("group_mutual_information.coefficient", coefficient);
        detail::require_columns(name, s, from);
        if (groups < 1) throw_value("group_mutual_information.groups", "at least 1", std::to_string(groups));
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const matrix_view<double> mean = b.scratch().template take<double>(groups + 1, p.cols);
        const std::span<double> tokens = b.scratch().template take<double>(std::size_t(groups));
        double filled = 0.0;
        double within = 0.0;
        for (index_t g = 0; g < groups; ++g) {
            const detail::token_filter in_group = detail::live_tokens(s.in(), name, g);
            const double n = tokens[std::size_t(g)] = in_group.count(0, p.rows);
            if (n == 0.0) continue;
            detail::column_sums(b, p, in_group, 0, p.rows, mean[g]);
            for (double& v : mean[g]) v /= n;
            within += detail::row_entropy(mean.row(g), p.cols);
            filled += 1.0;
        }
        if (filled == 0.0) return 0.0;
        for (index_t e = 0; e < p.cols; ++e) {
            mean(groups, e) = 0.0;
            for (index_t g = 0; g < groups; ++g) mean(groups, e) += tokens[std::size_t(g)] > 0.0 ? mean(g, e) / filled : 0.0;
        }
        for (index_t g = 0; g < groups; ++g) {
            if (tokens[std::size_t(g)] == 0.0) continue;
            const double factor = coefficient / (filled * tokens[std::size_t(g)]);
            const detail::token_filter in_group = detail::live_tokens(s.in(), name, g);
            detail::add_gradient(b, tape, from, p, in_group, 0, p.rows, [=, last = groups](index_t, index_t e) {
                return mean(g, e) > 0.0 ? T(factor * std::log(mean(last, e) / mean(g, e))) : T(0);
            });
        }
        return -coefficient * (detail::row_entropy(mean.row(groups), p.cols) - within / filled);
    }
};

MOE_END
