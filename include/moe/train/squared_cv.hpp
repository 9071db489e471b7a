// train/squared_cv: the squared coefficient of variation of sums over experts, and its derivative
// SPDX-License-Identifier: Apache-2.0
//
//     CV2(v) = var(v) / (mean(v)^2 + 1e-10),   var with E - 1;   0 for E = 1
//
// In variance form: the derivative is 0 at balance, where one through a standard deviation would be NaN.
#pragma once

#include <span>

#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

// Returns CV2(v) and turns v into dCV2/dv.
inline double squared_cv(std::span<double> v) {
    const double n = static_cast<double>(v.size());
    double mean = 0.0;
    for (const double x : v) mean += x;
    mean /= n;
    double variance = 0.0;
    for (const double x : v) variance += (x - mean) * (x - mean);
    variance = v.size() > 1 ? variance / (n - 1.0) : 0.0;
    const double q = mean * mean + 1e-10;
    for (double& x : v) {
        const double spread = v.size() > 1 ? 2.0 * (x - mean) / ((n - 1.0) * q) : 0.0;
        x = spread - 2.0 * variance * mean / (n * q * q);
    }
    return variance / q;
}

}  // namespace detail

MOE_END
