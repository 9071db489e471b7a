// score: every score divided by a constant temperature
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] / value
//
// Source: Hinton, Vinyals, Dean 2015; in front of a softmax, small values sharpen the distribution, large ones flatten
// it. A schedule of temperatures assigns `value` between steps.
// errors        value_error unless value is positive and finite
// gradient      dz[e] = dz'[e] / value
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct temperature {
    using role = score_step;
    static constexpr const char* name = "temperature";

    double value = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(value > 0.0 && value < std::numeric_limits<double>::infinity())) {
            throw_value("temperature.value", "a positive finite number", std::to_string(value));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        divide(b, scores);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const routing<T>&, adjoint<T>& d) const {
        divide(b, d.scores);
    }

private:
    template <class B, class T>
    void divide(B& b, matrix_view<T> m) const {
        kernels_of<B>::for_rows(b, m.rows, [m, divisor = static_cast<T>(value)](index_t t) {
            for (index_t e = 0; e < m.cols; ++e) m(t, e) /= divisor;
        });
    }
};

MOE_END
