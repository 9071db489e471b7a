// Tolerances of the tests, per scalar type, relative to 1 + the largest magnitude compared.
#pragma once

#include <cmath>

#include "moe/core/view.hpp"

template <class T>
struct tolerance;
template <>
struct tolerance<float> {
    static constexpr double value = 2e-5;      // outputs of a layer
    static constexpr double gradient = 1e-4;   // gradients of a layer
};
template <>
struct tolerance<double> {
    static constexpr double value = 1e-12;
    static constexpr double gradient = 1e-11;
};

// Central differences in double with a step of 1e-6.
inline constexpr double difference_tolerance = 2e-7;

// The largest |a - b| over the matrices, divided by 1 + the largest |b|; NaN if either holds one.
template <class A, class B>
double relative_error(moe::matrix_view<A> a, moe::matrix_view<B> b) {
    double worst = 0.0;
    double largest = 0.0;
    for (moe::index_t i = 0; i < a.rows; ++i) {
        for (moe::index_t j = 0; j < a.cols; ++j) {
            const double error = std::abs(static_cast<double>(a(i, j)) - static_cast<double>(b(i, j)));
            if (!std::isnan(worst) && !(error <= worst)) worst = error;
            if (!(std::abs(static_cast<double>(b(i, j))) <= largest)) largest = std::abs(static_cast<double>(b(i, j)));
        }
    }
    return worst / (1.0 + largest);
}
