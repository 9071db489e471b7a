// transform/routing_kl: logits and changed logits [T,E] -> how far the routing of the foremost experts moves
// SPDX-License-Identifier: Apache-2.0
//
//     KL(t) = sum over e in M of p_e ln(p_e / p'_e),    p, p' = softmax over M alone of z[t] and z'[t]
//
// M are the m experts with the largest z of the token in the order of core/order.hpp: those at -inf are never in it.
// The others do not count. In nats. Source: EAQuant 2025, with m = k + floor(b (E - k)).
// edges         at least 0; no token, no expert in M: 0; infinite where z' is -inf for an expert of M, but for all of
//               them; NaN where another logit of M is not finite
// errors        m out of 1 .. E: value_error; shapes that differ: shape_error
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "moe/core/order.hpp"

MOE_BEGIN

namespace detail {

// The m experts with the largest values, fewer where the others are -inf.
template <class T>
std::vector<index_t> foremost(std::span<const T> z, index_t m) {
    std::vector<index_t> ids(static_cast<std::size_t>(m));
    best_of_row(z.data(), static_cast<index_t>(z.size()), ids.data(), m);
    while (!ids.empty() && ids.back() < 0) ids.pop_back();
    return ids;
}

// ln of the sum of exp(z - top).
template <class T>
double log_sum_above(std::span<const T> z, std::span<const index_t> among, double top) {
    double sum = 0;
    for (const index_t e : among) sum += std::exp(double(z[std::size_t(e)]) - top);
    return std::log(sum);
}

template <class T>
double kl_among(std::span<const T> z, std::span<const T> changed, std::span<const index_t> among) {
    double top = -std::numeric_limits<double>::infinity(), changed_top = top;
    for (const index_t e : among) {
        top = std::max(top, double(z[std::size_t(e)]));
        changed_top = std::max(changed_top, double(changed[std::size_t(e)]));
    }
    const double log_sum = log_sum_above(z, among, top), changed_sum = log_sum_above(changed, among, changed_top);
    double kl = 0;
    for (const index_t e : among) {
        const double log_p = double(z[std::size_t(e)]) - top - log_sum;
        const double log_q = double(changed[std::size_t(e)]) - changed_top - changed_sum;
        kl += std::exp(log_p) * (log_p - log_q);
    }
    return kl < 0 ? 0 : kl;  // of equals up to rounding
}

inline void check_foremost(index_t m, index_t experts) {
    if (m >= 1 && m <= experts) return;
    throw_value("routing_kl: m", std::string("1 to ") + std::to_string(experts), std::to_string(m));
}

}  // namespace detail

// Mean over the tokens.
template <class T>
double routing_kl(matrix_view<const T> logits, input_view<T> changed, index_t m) {
    detail::check_foremost(m, logits.cols);
    detail::require_shape("routing_kl: changed logits", changed, logits.rows, logits.cols);
    double sum = 0;
    for (index_t t = 0; t < logits.rows; ++t) {
        sum += detail::kl_among(logits[t], changed[t], detail::foremost<T>(logits[t], m));
    }
    return logits.rows == 0 ? 0 : sum / double(logits.rows);
}

MOE_END
