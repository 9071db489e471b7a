// The pieces that examples/text trains beside the library's layers: gradients against central differences.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "moe/moe.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "examples/support/cross_entropy.hpp"
#include "examples/support/linear.hpp"
#include "examples/text/convolution.hpp"
#include "examples/text/dropout.hpp"
#include "examples/text/embedding.hpp"
#include "examples/text/rms_norm.hpp"

using moe::index_t;
using moe::matrix;

namespace {

constexpr index_t width = 5, tokens = 9;

// Three sequences; the second has one token, the last is longer than the convolution's three taps.
const std::vector<index_t> sequences{0, 3, 4, 9};

double dot(const matrix<double>& a, const matrix<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
    return sum;
}

// Every derivative of `loss` by a number of `values` must be the one in `gradient`, and one must not be 0.
template <class Loss>
void require_derivatives(std::span<double> values, std::span<const double> gradient, const Loss& loss) {
    constexpr double step = 1e-6;
    REQUIRE(values.size() == gradient.size());
    bool nonzero = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double before = values[i];
        values[i] = before + step;
        const double above = loss();
        values[i] = before - step;
        const double below = loss();
        values[i] = before;
        const double numeric = (above - below) / (2 * step);
        CAPTURE(i, gradient[i], numeric);
        REQUIRE(std::abs(gradient[i] - numeric) <= difference_tolerance * (1 + std::abs(numeric)));
        nonzero = nonzero || gradient[i] != 0;
    }
    CHECK(nonzero);
}

template <class Part, class Loss>
void require_parameter_derivatives(Part& part, Part& gradient, const Loss& loss) {
    moe::visit_parameters(
        [&](const moe::parameter_name&, auto& values, auto& g) {
            require_derivatives(moe::flat(values), moe::flat(g), loss);
        },
        part, gradient);
}

}  // namespace

TEST_CASE("The embedding's gradient sums over every occurrence of a character", "[examples]") {
    moe::reference b;
    text::embedding<double> part(4, width, 3, "test");
    const std::vector<int> read{2, 0, 2, 2, 3, 0, 3, 2, 0};
    const auto dx = moe::testing::random_matrix<double>(tokens, width, 5);
    matrix<double> x(tokens, width);
    const auto loss = [&] {
        part.forward(b, read, x);
        return dot(x, dx);
    };
    auto gradient = moe::make_gradient(part);
    part.backward(read, dx, gradient);
    require_parameter_derivatives(part, gradient, loss);
    for (const double unused : gradient.rows.view()[1]) CHECK(unused == 0.0);
}

TEST_CASE("The causal convolution's gradients are those of its sum within each sequence", "[examples]") {
    moe::reference b;
    constexpr index_t taps = 3;
    text::causal_convolution<double> part(width, taps, 3, "test");
    text::causal_convolution<double>::record record(tokens, width, taps);
    auto x = moe::testing::random_matrix<double>(tokens, width, 4);
    const auto dy = moe::testing::random_matrix<double>(tokens, width, 5);
    matrix<double> y(tokens, width), dx(tokens, width);
    const auto loss = [&] {
        part.forward<moe::reference>(b, x, sequences, record, y);
        return dot(y, dy);
    };
    auto gradient = moe::make_gradient(part);
    loss();
    part.backward<moe::reference>(b, dy, record, dx, gradient);
    require_parameter_derivatives(part, gradient, loss);
    require_derivatives(x.span(), dx.span(), loss);
}

TEST_CASE("The causal convolution reads nothing behind a token and nothing of another sequence", "[examples]") {
    moe::reference b;
    constexpr index_t taps = 3;
    const text::causal_convolution<double> part(width, taps, 3, "test");
    text::causal_convolution<double>::record record(tokens, width, taps);
    auto x = moe::testing::random_matrix<double>(tokens, width, 4);
    matrix<double> before(tokens, width), after(tokens, width);
    part.forward<moe::reference>(b, x, sequences, record, before);
    for (double& v : x.view()[4]) v = std::nan("");
    part.forward<moe::reference>(b, x, sequences, record, after);
    for (index_t t = 0; t < tokens; ++t) {
        const bool sees = t >= 4 && t < 4 + taps;
        for (index_t j = 0; j < width; ++j) {
            CAPTURE(t, j);
            CHECK(std::isnan(after(t, j)) == sees);
            if (!sees) CHECK(after(t, j) == before(t, j));
        }
    }
}

TEST_CASE("The norm's gradients are those of its formula, and its input's is added", "[examples]") {
    moe::reference b;
    text::rms_norm<double> part(width);
    for (index_t j = 0; j < width; ++j) part.scale(0, j) = 0.5 + 0.25 * j;
    auto x = moe::testing::random_matrix<double>(tokens, width, 4);
    const auto dy = moe::testing::random_matrix<double>(tokens, width, 5);
    matrix<double> y(tokens, width), dx = dy;
    const auto loss = [&] {
        part.forward<moe::reference>(b, x, y);
        return dot(y, dy) + dot(x, dy);
    };
    auto gradient = moe::make_gradient(part);
    part.backward<moe::reference>(b, x, dy, dx, gradient);
    require_parameter_derivatives(part, gradient, loss);
    require_derivatives(x.span(), dx.span(), loss);
}

TEST_CASE("Dropout drops the same from a gradient, a stated part of it, and keeps the mean", "[examples]") {
    moe::reference b;
    matrix<double> x(1000, 7), dx(1000, 7);
    for (double& v : x.span()) v = 1;
    for (double& v : dx.span()) v = 2;
    text::drop(b, x.view(), 0.3, {1, 2, 3});
    text::drop(b, dx.view(), 0.3, {1, 2, 3});
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE((x.data()[i] == 0 || x.data()[i] == Approx(1 / 0.7)));
        REQUIRE(dx.data()[i] == 2 * x.data()[i]);
        sum += x.data()[i];
    }
    CHECK(sum / 7000 == Approx(1).margin(0.03));
    text::drop(b, dx.view(), 0.0, {1, 2, 3});
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(dx.data()[i] == 2 * x.data()[i]);
}

TEST_CASE("The head's and the cross entropy's gradients are those of the smoothed loss", "[examples]") {
    moe::reference b;
    constexpr index_t classes = 4;
    example::linear<double> part(width, classes, 3, "test");
    auto x = moe::testing::random_matrix<double>(tokens, width, 4);
    const std::vector<int> wanted{0, 3, 1, 1, 2, 0, 3, 3, 2};
    matrix<double> logits(tokens, classes), d_logits(tokens, classes), dx(tokens, width);
    const auto loss = [&] {
        part.forward<moe::reference>(b, x, logits);
        return example::cross_entropy<double>(logits, wanted, 0.1, d_logits).loss / tokens;
    };
    loss();
    auto gradient = moe::make_gradient(part);
    part.backward<moe::reference>(b, x, d_logits, dx, gradient);
    require_parameter_derivatives(part, gradient, loss);
    require_derivatives(x.span(), dx.span(), loss);
}

TEST_CASE("The surprise of a label is the loss without smoothing", "[examples]") {
    const auto logits = moe::testing::random_matrix<double>(tokens, 4, 4);
    const std::vector<int> wanted{0, 3, 1, 1, 2, 0, 3, 3, 2};
    const auto plain = example::cross_entropy<double>(logits, wanted, 0.0, {});
    const auto smooth = example::cross_entropy<double>(logits, wanted, 0.2, {});
    CHECK(plain.loss == Approx(plain.surprise));
    CHECK(smooth.surprise == Approx(plain.surprise));
    CHECK(smooth.loss != Approx(plain.loss));
}
