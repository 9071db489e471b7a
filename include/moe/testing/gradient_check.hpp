// testing/gradient_check: analytic gradients of a whole layer against central differences
// SPDX-License-Identifier: Apache-2.0
//
//     L = <dy, layer(x)> + loss(tape)       dL/dv is compared with (L(v + h) - L(v - h)) / 2h
//
// for every x, router feature and parameter v. An entry passes if |analytic - numeric| <= tolerance * (1 + |numeric|); a NaN never passes. The
// differences are only right where the choice does not change within h: use inputs without near ties, in double.
#pragma once

#include <string>

#include "moe/core/parameter.hpp"
#include "moe/core/tape.hpp"
#include "moe/testing/random.hpp"

MOE_BEGIN
namespace testing {

struct gradient_report {
    double worst = 0.0;      // largest |analytic - numeric| / (1 + |numeric|)
    std::string where;       // the parameter it belongs to
    std::size_t checked = 0;  // number of derivatives
    bool nonzero = false;    // at least one derivative is not 0
};

struct no_loss {
    template <class B, class T>
    double operator()(B&, tape<T>&) const {
        return 0.0;
    }
};

// `loss(backend, tape)` returns its value and adds its gradient to tape.d.
template <class B, class Layer, class Loss = no_loss>
gradient_report check_gradients(B& b, Layer& layer, const batch<double>& given, const Loss& loss = {},
                                double step = 1e-6) {
    const index_t tokens = given.tokens();
    matrix<double> x(tokens, given.x.cols);
    matrix<double> features(given.features.rows, given.features.cols);
    for (index_t t = 0; t < tokens; ++t) std::copy(given.x.row(t), given.x.row(t) + x.cols(), &x(t, 0));
    for (index_t t = 0; t < features.rows(); ++t) {
        std::copy(given.features.row(t), given.features.row(t) + features.cols(), &features(t, 0));
    }
    batch<double> in = given;
    in.x = x;
    if (features.size() != 0) in.features = features;

    const matrix<double> dy = random_matrix<double>(tokens, layer.outputs(), 77);
    matrix<double> y(tokens, layer.outputs());
    tape<double> tape;
    const auto value = [&] {
        layer.forward(b, in, y.view(), tape);
        double sum = loss(b, tape);
        for (std::size_t i = 0; i < y.size(); ++i) sum += y.data()[i] * dy.data()[i];
        return sum;
    };

    auto gradient = layer.make_gradient();
    matrix<double> dx(tokens, layer.features());
    value();
    layer.backward(b, dy.view(), tape, dx.view(), gradient);
    // The next forward reuses the tape's memory.
    matrix<double> d_features(features.rows(), features.cols());
    for (index_t t = 0; t < features.rows(); ++t) {
        std::copy(tape.d.features.row(t), tape.d.features.row(t) + features.cols(), &d_features(t, 0));
    }

    gradient_report report;
    const auto compare = [&](const std::string& name, std::span<double> v, std::span<const double> d) {
        for (std::size_t i = 0; i < v.size(); ++i) {
            const double before = v[i];
            v[i] = before + step;
            const double above = value();
            v[i] = before - step;
            const double below = value();
            v[i] = before;
            const double numeric = (above - below) / (2 * step);
            const double difference = std::abs(d[i] - numeric) / (1 + std::abs(numeric));
            if (!(difference <= report.worst)) {
                report.worst = difference;
                report.where = name + "[" + std::to_string(i) + "]";
            }
            report.nonzero = report.nonzero || d[i] != 0.0;
            ++report.checked;
        }
    };
    compare("x", x.span(), dx.span());
    compare("features", features.span(), d_features.span());
    visit_parameters(
        [&](const parameter_name& name, auto& values, auto& gradients) {
            compare(name.text(), flat(values), flat(gradients));
        },
        layer, gradient);
    return report;
}

}  // namespace testing
MOE_END
