// tests/packaging: one layer, forward and backward; every instruction set must agree on its sums within rounding
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "moe/moe.hpp"

inline namespace MOE_ABI {  // this header is compiled with two instruction sets too

struct sums {
    float y = 0;
    float dx = 0;
};

inline sums slice() {
    const moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 19, .experts = 6}}, moe::softmax{},
                                       moe::top_k{.k = 2}, moe::renormalize{}},
                           moe::swiglu_bank<float>{{.features = 19, .hidden = 23, .experts = 6}}};
    moe::cpu cpu{{.threads = 2}};
    const moe::random_stream random(7, moe::stream_id("packaging"));
    moe::matrix<float> x(37, 19);
    for (moe::index_t t = 0; t < x.rows(); ++t)
        for (moe::index_t d = 0; d < x.cols(); ++d)
            x(t, d) = static_cast<float>(random.normal(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(d)));

    moe::matrix<float> y(37, 19), dx(37, 19);
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    auto gradient = moe::make_gradient(layer);
    layer.forward(cpu, in, y, tape);
    layer.backward(cpu, y, tape, dx, gradient);

    sums s;
    for (const float v : y.span()) s.y += std::abs(v);
    for (const float v : dx.span()) s.dx += std::abs(v);
    return s;
}

}  // namespace MOE_ABI
