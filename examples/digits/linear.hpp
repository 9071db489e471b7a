// examples/digits/linear: x [T,in] -> y [T,out], a linear map with bias, in the library's own kernels
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string_view>

#include "moe/backend/cpu.hpp"
#include "moe/core/rng.hpp"

namespace digits {

struct linear {
    moe::panels<float> weight;  // [1,out,in]
    moe::matrix<float> bias;    // [1,out]

    // Uniform in +-1/sqrt(in), bias 0.
    linear(moe::index_t in, moe::index_t out, std::uint64_t seed, std::string_view name)
        : weight(1, out, in), bias(1, out) {
        const moe::random_stream random(seed, moe::stream_id(name));
        const double bound = 1 / std::sqrt(static_cast<double>(in));
        for (moe::index_t n = 0; n < out; ++n) {
            for (moe::index_t k = 0; k < in; ++k) {
                const double u = random.uniform(static_cast<std::uint64_t>(n), static_cast<std::uint32_t>(k));
                weight(0, n, k) = static_cast<float>(bound * (2 * u - 1));
            }
        }
    }

    void forward(moe::cpu& cpu, moe::matrix_view<const float> x, moe::matrix_view<float> y) const {
        const moe::index_t all[] = {0, x.rows};
        moe::kernels_of<moe::cpu>::grouped_linear(cpu, {all, {}}, x, weight, bias, y);
    }

    // Adds to the gradient; writes dx unless it is empty.
    void backward(moe::cpu& cpu, moe::matrix_view<const float> x, moe::matrix_view<const float> dy,
                  moe::matrix_view<float> dx, linear& gradient) const {
        using kernels = moe::kernels_of<moe::cpu>;
        const moe::index_t all[] = {0, x.rows};
        const moe::row_groups rows{all, {}};
        kernels::grouped_weight_gradient(cpu, rows, dy, x, gradient.weight);
        kernels::grouped_bias_gradient(cpu, rows, dy, gradient.bias.view());
        if (!dx.empty()) kernels::grouped_input_gradient(cpu, rows, dy, weight, dx, false);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("bias", p.bias...);
    }
};

}  // namespace digits
