// tests/train: central differences of losses that read weights instead of a tape
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/moe.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace weights {

using moe::index_t;

template <class T>
moe::panels<T> random_panels(index_t groups, index_t outputs, index_t inputs, std::uint64_t seed) {
    moe::panels<T> p(groups, outputs, inputs);
    for (index_t g = 0; g < groups; ++g) {
        p.assign(g, moe::testing::random_matrix<T>(outputs, inputs, seed + std::uint64_t(g)).view());
    }
    return p;
}

// The worst difference between `gradient` and central differences of `value()` in the elements of w.
template <class F>
double worst_difference(moe::panels<double>& w, const moe::panels<double>& gradient, const F& value) {
    double worst = 0.0;
    for (index_t g = 0; g < w.groups(); ++g) {
        for (index_t n = 0; n < w.outputs(); ++n) {
            for (index_t k = 0; k < w.inputs(); ++k) {
                const double before = w(g, n, k), h = 1e-6;
                w(g, n, k) = before + h;
                const double above = value();
                w(g, n, k) = before - h;
                const double below = value();
                w(g, n, k) = before;
                const double numeric = (above - below) / (2 * h);
                const double error = std::abs(numeric - gradient(g, n, k)) / (1 + std::abs(numeric));
                if (!(error <= worst)) worst = error;
            }
        }
    }
    return worst;
}

}  // namespace weights
