// route: drops a token's routes whose weight is low beside its largest
// SPDX-License-Identifier: Apache-2.0
//
//     route s of a token is dropped if w[s] < ratio * (largest weight of the token), or 0 < least and w[s] < least
//
// Source: dynamic expert pruning of MC-MoE (the second expert goes where w2 < mu * w1, mu the median of w2 / w1 on
// calibration data).
// edges         `ratio` drops nothing from a token without a weight above 0, and never its largest; NaN weights are neither
//               dropped nor the largest
// gradient      none through what is dropped
// errors        value_error if ratio is not within [0, 1] or least is negative or NaN
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct drop_below {
    using role = route_step;
    static constexpr const char* name = "drop_below";

    double ratio = 0.0;
    double least = 0.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(ratio >= 0.0 && ratio <= 1.0)) throw_value("drop_below.ratio", "0 to 1", std::to_string(ratio));
        if (!(least >= 0.0)) throw_value("drop_below.least", "at least 0", std::to_string(least));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, weight = s.routes.weight](index_t t) {
            const index_t first = c.offset[std::size_t(t)];
            const index_t last = c.offset[std::size_t(t) + 1];
            T largest = T(0);
            for (index_t i = first; i < last; ++i) {
                if (weight[std::size_t(i)] > largest) largest = weight[std::size_t(i)];
            }
            for (index_t i = first; i < last; ++i) {
                const T w = weight[std::size_t(i)];
                const bool low = (largest > T(0) && w < T(ratio) * largest) || (least > 0.0 && w < T(least));
                if (low) c.expert[std::size_t(i)] = -1;
            }
        });
    }
};

MOE_END
