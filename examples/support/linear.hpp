// examples/support/linear: x [T,in] -> y [T,out], a linear map with bias, in the library's own kernels
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string_view>

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"

namespace example {

template <class T>
struct linear {
    moe::panels<T> weight;  // [1,out,in]
    moe::matrix<T> bias;    // [1,out]

    // Uniform in +-1/sqrt(in), bias 0.
    linear(moe::index_t in, moe::index_t out, std::uint64_t seed, std::string_view name)
        : weight(1, out, in), bias(1, out) {
        const moe::random_stream random(seed, moe::stream_id(name));
        const double bound = 1 / std::sqrt(static_cast<double>(in));
        for (moe::index_t n = 0; n < out; ++n) {
            for (moe::index_t k = 0; k < in; ++k) {
                const double u = random.uniform(static_cast<std::uint64_t>(n), static_cast<std::uint32_t>(k));
                weight(0, n, k) = static_cast<T>(bound * (2 * u - 1));
            }
        }
    }

    template <class B>
    void forward(B& b, moe::matrix_view<const T> x, moe::matrix_view<T> y) const {
        const moe::index_t all[] = {0, x.rows};
        moe::kernels_of<B>::grouped_linear(b, {all, {}}, x, weight, bias, y);
    }

    // Adds to the gradient; writes dx unless it is empty.
    template <class B>
    void backward(B& b, moe::matrix_view<const T> x, moe::matrix_view<const T> dy, moe::matrix_view<T> dx,
                  linear& gradient) const {
        using kernels = moe::kernels_of<B>;
        const moe::index_t all[] = {0, x.rows};
        const moe::row_groups rows{all, {}};
        kernels::grouped_weight_gradient(b, rows, dy, x, gradient.weight);
        kernels::grouped_bias_gradient(b, rows, dy, gradient.bias.view());
        if (!dx.empty()) kernels::grouped_input_gradient(b, rows, dy, weight, dx, false);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("bias", p.bias...);
    }
};

}  // namespace example
