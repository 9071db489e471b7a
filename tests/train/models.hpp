// tests/train: models on which optimisers are tried
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moe/moe.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace models {

using moe::index_t;

// Parameters of every kind a part may have: a scalar, an array, a matrix, panels whose outputs are padded.
template <class T>
struct bag {
    T scalar = T(0);
    moe::buffer<T> array{3};
    moe::matrix<T> matrix{2, 2};
    moe::panels<T> weights{1, 3, 2};

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scalar", p.scalar...);
        v("array", p.array...);
        v("matrix", p.matrix...);
        v("weights", p.weights...);
    }
};

template <class T>
void fill(bag<T>& b, double first, double step) {
    double next = first;
    const auto draw = [&] { return static_cast<T>(std::exchange(next, next + step)); };
    b.scalar = draw();
    for (T& v : b.array.span()) v = draw();
    for (T& v : b.matrix.span()) v = draw();
    for (index_t n = 0; n < 3; ++n) {
        for (index_t k = 0; k < 2; ++k) b.weights(0, n, k) = draw();
    }
}

// Large enough for several threads.
struct one_tensor {
    moe::panels<float> w{1, 640, 330};

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("w", p.w...);
    }
};

// All values in visit order, padding included.
template <class M>
std::vector<double> values(const M& model) {
    std::vector<double> all;
    moe::visit_parameters(
        [&](const moe::parameter_name&, const auto& tensor) {
            for (const auto v : moe::flat(tensor)) all.push_back(static_cast<double>(v));
        },
        model);
    return all;
}

inline auto small_layer(std::uint64_t seed) {
    return moe::layer{
        moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4, .seed = seed}}, moe::softmax{}, moe::top_k{.k = 2},
                    moe::renormalize{}},
        moe::swiglu_bank<float>{{.features = 5, .hidden = 7, .experts = 4, .bias = true, .seed = seed}}};
}
using small = decltype(small_layer(0));

// A user's model of two layers; its gradient is a struct of the same shape.
struct stack {
    small first = small_layer(1);
    small second = small_layer(2);
    float gain = 1.0f;

    struct gradient {
        small::gradient first, second;
        float gain = 0.0f;
    };
    gradient make_gradient() const { return {moe::make_gradient(first), moe::make_gradient(second), 0.0f}; }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        small::parameters(moe::nested(v, "first"), p.first...);
        small::parameters(moe::nested(v, "second"), p.second...);
        v("gain", p.gain...);
    }
};

// One step of training on a fixed task; returns the squared error before it.
template <class Layer, class Optimizer>
double train(moe::cpu& b, Layer& layer, Optimizer& optimizer) {
    const auto x = moe::testing::random_matrix<float>(16, 5, 3);
    const auto wanted = moe::testing::random_matrix<float>(16, 5, 4);
    moe::batch<float> in;
    in.x = x;
    moe::matrix<float> y(16, 5), dx(16, 5);
    moe::tape<float> tape;
    auto g = moe::make_gradient(layer);
    layer.forward(b, in, y.view(), tape);
    double error = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        y.data()[i] -= wanted.data()[i];
        error += static_cast<double>(y.data()[i]) * static_cast<double>(y.data()[i]);
    }
    layer.backward(b, y.view(), tape, dx.view(), g);
    optimizer.step(layer, g);
    return error;
}

}  // namespace models
