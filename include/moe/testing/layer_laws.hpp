// testing/layer_laws: what every layer must keep, whatever its parts
// SPDX-License-Identifier: Apache-2.0
//
// Each returns an empty string or one sentence that says what was broken. Outputs and scratch are poisoned before every
// call. These are for one batch at hand; testing/laws.hpp makes its own inputs and shrinks what fails.
#pragma once

#include <cstring>
#include <string>

#include "moe/core/parameter.hpp"
#include "moe/core/tape.hpp"
#include "moe/testing/random.hpp"

MOE_BEGIN
namespace testing {

// Equal as bits: NaN equals the same NaN, 0 differs from -0.
template <class T>
bool same_bits(const matrix<T>& a, const matrix<T>& b) {
    return a.rows() == b.rows() && a.cols() == b.cols() &&
           (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
matrix<T> poisoned(index_t rows, index_t cols) {
    matrix<T> m(rows, cols);
    if (m.size() != 0) std::memset(m.data(), 0xAB, m.size() * sizeof(T));
    return m;
}

// One inference into poisoned memory.
template <class B, class Layer, class T>
matrix<T> infer(B& b, const Layer& layer, const batch<T>& in) {
    matrix<T> y = poisoned<T>(in.tokens(), layer.outputs());
    b.scratch().poison(0xCD);
    layer.forward(b, in, y.view());
    return y;
}

// A taped forward gives the bits of inference, and both give them again in poisoned memory.
template <class B, class Layer, class T>
std::string taped_equals_inference(B& b, const Layer& layer, const batch<T>& in) {
    const matrix<T> once = infer(b, layer, in);
    if (!same_bits(once, infer(b, layer, in))) return "a second inference gave other bits";
    for (int again = 0; again < 2; ++again) {
        tape<T> tape;
        matrix<T> y = poisoned<T>(in.tokens(), layer.outputs());
        b.scratch().poison(0xEF);
        layer.forward(b, in, y.view(), tape);
        if (!same_bits(once, y)) return "the taped forward gave other bits than inference";
    }
    return "";
}

template <class T, class Gradient>
struct trained {
    matrix<T> y, dx;
    Gradient gradient;
};

// Forward and backward with a fixed upstream gradient, in poisoned memory.
template <class B, class Layer, class T>
auto train_once(B& b, const Layer& layer, const batch<T>& in) {
    trained<T, typename Layer::gradient> result{poisoned<T>(in.tokens(), layer.outputs()),
                                                poisoned<T>(in.tokens(), layer.features()), layer.make_gradient()};
    const matrix<T> dy = random_matrix<T>(in.tokens(), layer.outputs(), 78);
    tape<T> tape;
    b.scratch().poison(0xCD);
    tape.memory().poison(0xCD);
    layer.forward(b, in, result.y.view(), tape);
    b.scratch().poison(0xEF);
    layer.backward(b, dy.view(), tape, result.dx.view(), result.gradient);
    return result;
}

// Two gradients of one type of layer, compared bit by bit; the first that differs is named.
template <class Layer, class Gradient>
std::string gradient_difference(const Layer& layer, Gradient& a, Gradient& b) {
    std::string where;
    visit_parameters(
        [&](const parameter_name& name, const auto&, auto& first, auto& second) {
            const auto u = flat(first);
            const auto v = flat(second);
            if (where.empty() && !u.empty() && std::memcmp(u.data(), v.data(), u.size_bytes()) != 0) where = name.text();
        },
        layer, a, b);
    return where;
}

// Output, dx and all gradients have the same bits on both backend objects (one kind, other thread counts).
template <class B, class Layer, class T>
std::string same_on(B& first, B& second, const Layer& layer, const batch<T>& in) {
    auto a = train_once(first, layer, in);
    auto b = train_once(second, layer, in);
    if (!same_bits(a.y, b.y)) return "outputs differ";
    if (!same_bits(a.dx, b.dx)) return "dx differs";
    const std::string where = gradient_difference(layer, a.gradient, b.gradient);
    return where.empty() ? "" : std::string("the gradient of ") + where + " differs";
}

// Spoiling one token's x with NaN changes the output of no other token. Only for layers whose choice for a token does not
// depend on the others.
template <class B, class Layer, class T>
std::string isolates_tokens(B& b, const Layer& layer, const batch<T>& given) {
    matrix<T> x(given.tokens(), given.x.cols);
    for (index_t t = 0; t < x.rows(); ++t) std::copy(given.x.row(t), given.x.row(t) + x.cols(), &x(t, 0));
    batch<T> in = given;
    in.x = x;
    const matrix<T> clean = infer(b, layer, in);
    for (index_t spoiled = 0; spoiled < x.rows(); ++spoiled) {
        const T before = x(spoiled, 0);
        x(spoiled, 0) = std::numeric_limits<T>::quiet_NaN();
        const matrix<T> y = infer(b, layer, in);
        x(spoiled, 0) = before;
        for (index_t t = 0; t < x.rows(); ++t) {
            if (t == spoiled || std::memcmp(&y(t, 0), &clean(t, 0), std::size_t(y.cols()) * sizeof(T)) == 0) continue;
            return std::string("NaN in token ") + std::to_string(spoiled) + " changed token " + std::to_string(t);
        }
    }
    return "";
}

// A token alone gives the bits it gives inside the batch.
template <class B, class Layer, class T>
std::string independent_of_batch(B& b, const Layer& layer, const batch<T>& in) {
    const matrix<T> together = infer(b, layer, in);
    for (index_t t = 0; t < in.tokens(); ++t) {
        batch<T> one = in;
        one.x = in.x.middle_rows(t, 1);
        if (in.features.data != nullptr) one.features = in.features.middle_rows(t, 1);
        const std::size_t i = std::size_t(t);
        if (!in.mask.empty()) one.mask = in.mask.subspan(i, 1);
        if (!in.label.empty()) one.label = in.label.subspan(i, 1);
        if (!in.token_id.empty()) one.token_id = in.token_id.subspan(i, 1);
        if (in.side.data != nullptr) one.side = in.side.middle_rows(t, 1);
        one.sequence = {};
        one.first_token = in.first_token + i;
        const matrix<T> alone = infer(b, layer, one);
        if (std::memcmp(&alone(0, 0), &together(t, 0), std::size_t(alone.cols()) * sizeof(T)) != 0) {
            return std::string("token ") + std::to_string(t) + " gives other bits alone than in its batch";
        }
    }
    return "";
}

// Masked rows of x and of the features full of NaN change no bit of the output, of dx or of any gradient, and get exact
// zeros in dx. For layers and batches with a mask.
template <class B, class Layer, class T>
std::string ignores_masked_tokens(B& b, const Layer& layer, const batch<T>& given) {
    const auto spoiled = [&](matrix_view<const T> from) {
        matrix<T> m(from.rows, from.cols);
        for (index_t t = 0; t < from.rows; ++t) {
            for (index_t j = 0; j < from.cols; ++j) {
                m(t, j) = given.live(t) ? from(t, j) : std::numeric_limits<T>::quiet_NaN();
            }
        }
        return m;
    };
    const matrix<T> x = spoiled(given.x);
    const matrix<T> features = spoiled(given.features);
    batch<T> in = given;
    in.x = x;
    if (given.features.data != nullptr) in.features = features;
    auto clean = train_once(b, layer, given);
    auto other = train_once(b, layer, in);
    if (!same_bits(clean.y, other.y)) return "NaN in masked tokens changed the output";
    if (!same_bits(clean.dx, other.dx)) return "NaN in masked tokens changed dx";
    const std::string where = gradient_difference(layer, clean.gradient, other.gradient);
    if (!where.empty()) return std::string("NaN in masked tokens changed the gradient of ") + where;
    for (index_t t = 0; t < in.tokens(); ++t) {
        for (index_t j = 0; j < other.dx.cols(); ++j) {
            if (!in.live(t) && other.dx(t, j) != T(0)) {
                return std::string("dx of masked token ") + std::to_string(t) + " is not 0";
            }
        }
    }
    return "";
}

}  // namespace testing
MOE_END
