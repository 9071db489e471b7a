// core/softmax_row: softmax of one row and its gradient, for every part that needs one
// SPDX-License-Identifier: Apache-2.0
//
// A row of -inf alone becomes zeros; NaN or +inf fills the row with NaN.
#pragma once

#include <cmath>
#include <limits>

#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

// Turns n scores into probabilities, in place.
template <class T>
MOE_FN void softmax_row(T* p, index_t n) {
    T largest = -std::numeric_limits<T>::infinity();
    for (index_t e = 0; e < n; ++e) largest = p[e] <= largest ? largest : p[e];
    if (largest == -std::numeric_limits<T>::infinity()) {
        for (index_t e = 0; e < n; ++e) p[e] = T(0);
        return;
    }
    T sum = T(0);
    for (index_t e = 0; e < n; ++e) {
        p[e] = std::exp(p[e] - largest);
        sum += p[e];
    }
    for (index_t e = 0; e < n; ++e) p[e] /= sum;
}

// dp becomes dz.
template <class T>
MOE_FN void softmax_row_gradient(const T* p, T* d, index_t n) {
    T mean = T(0);
    for (index_t e = 0; e < n; ++e) mean += p[e] * d[e];
    for (index_t e = 0; e < n; ++e) d[e] = p[e] * (d[e] - mean);
}

}  // namespace detail

MOE_END
