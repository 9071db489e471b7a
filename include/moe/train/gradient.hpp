// train/gradient: zero_gradient and clip_gradient_norm, on the gradient of a layer or of a model of several layers
// SPDX-License-Identifier: Apache-2.0
//
//     zero_gradient(model, g)               every element becomes 0
//     gradient_norm(model, g)               sqrt(sum over all elements of g^2), summed in double in visit order
//     clip_gradient_norm(model, g, limit)   g *= limit / norm where norm > limit; returns the norm before
//
// zero_gradient works in any memory, the others where the host reads the gradient.
// `model` is anything with `parameters` (core/parameter.hpp); only its structure is read. Nothing is allocated.
// NaN           a NaN or infinite gradient has a NaN or infinite norm and is left as it is
#pragma once

#include <cmath>

#include "moe/core/parameter.hpp"

MOE_BEGIN

template <class Model, class Gradient>
void zero_gradient(const Model& model, Gradient& gradient) {
    visit_parameters(
        [](const parameter_name& name, const auto&, auto& g) { detail::set_to_zero{}(name, g); }, model, gradient);
}

template <class Model, class Gradient>
double gradient_norm(const Model& model, const Gradient& gradient) {
    double sum = 0.0;
    visit_parameters(
        [&sum](const parameter_name& name, const auto&, const auto& g) {
            detail::require_space("gradient_norm: ", name, g, host_space);
            for (const auto v : flat(g)) sum += static_cast<double>(v) * static_cast<double>(v);
        },
        model, gradient);
    return std::sqrt(sum);
}

template <class Model, class Gradient>
double clip_gradient_norm(const Model& model, Gradient& gradient, double limit) {
    if (!(limit > 0.0)) throw_value("clip_gradient_norm: limit", "above 0", std::to_string(limit));
    const double norm = gradient_norm(model, gradient);
    const double factor = limit / norm;
    if (!(norm > limit) || !(factor > 0.0)) return norm;
    visit_parameters(
        [factor](const parameter_name&, const auto&, auto& g) {
            for (auto& v : flat(g)) v = static_cast<std::remove_reference_t<decltype(v)>>(static_cast<double>(v) * factor);
        },
        model, gradient);
    return norm;
}

MOE_END
