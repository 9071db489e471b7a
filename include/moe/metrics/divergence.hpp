// metrics/divergence: two distributions over experts -> how different they are
// SPDX-License-Identifier: Apache-2.0
//
//     kl_divergence(p, q) = sum p ln(p / q)                              in nats; infinite where q = 0 and p > 0
//     js_divergence(p, q) = (KL(p, m) + KL(q, m)) / 2,   m = (p + q) / 2    symmetric, 0 to ln 2
//     normalized_pmi(n, a, b, both) = log(p(ab) / (p(a) p(b))) / -log p(ab)   of counts out of n, -1 to 1
//
// p and q are counts or probabilities: each is divided by its sum. Source: language routing studies (JS between mean
// routings of parallel texts), RICE (normalised pointwise mutual information of expert and marker token).
// edges         a sum of 0 gives NaN; normalized_pmi: never together -1, always together 1, never seen at all 0
// errors        sizes that differ
#pragma once

#include <cmath>
#include <limits>

#include "moe/core/view.hpp"

MOE_BEGIN

namespace detail {

inline double sum_of(std::span<const double> p) {
    double sum = 0.0;
    for (const double v : p) sum += v;
    return sum;
}

}  // namespace detail

inline double kl_divergence(std::span<const double> p, std::span<const double> q) {
    detail::require_size("kl_divergence: q", q, p.size());
    const double total_p = detail::sum_of(p);
    const double total_q = detail::sum_of(q);
    if (!(total_p > 0.0 && total_q > 0.0)) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0.0;
    for (std::size_t e = 0; e < p.size(); ++e) {
        const double a = p[e] / total_p;
        const double b = q[e] / total_q;
        if (a > 0.0) sum += b > 0.0 ? a * std::log(a / b) : std::numeric_limits<double>::infinity();
    }
    return sum;
}

inline double js_divergence(std::span<const double> p, std::span<const double> q) {
    detail::require_size("js_divergence: q", q, p.size());
    const double total_p = detail::sum_of(p);
    const double total_q = detail::sum_of(q);
    if (!(total_p > 0.0 && total_q > 0.0)) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0.0;
    for (std::size_t e = 0; e < p.size(); ++e) {
        const double a = p[e] / total_p;
        const double b = q[e] / total_q;
        const double m = (a + b) / 2.0;
        if (a > 0.0) sum += a * std::log(a / m);
        if (b > 0.0) sum += b * std::log(b / m);
    }
    return sum / 2.0;
}

inline double normalized_pmi(double n, double a, double b, double both) {
    if (!(a > 0.0 && b > 0.0 && n > 0.0)) return 0.0;
    if (!(both > 0.0)) return -1.0;
    if (both == n) return 1.0;
    return std::log(both * n / (a * b)) / -std::log(both / n);
}

MOE_END
