// examples/text/rms_norm: x [T,D] -> y [T,D], rows of mean square 1, times a learned scale
// SPDX-License-Identifier: Apache-2.0
//
//     y[t,j]  = g[j] x[t,j] / r[t],        r[t] = sqrt(mean over j of x[t,j]^2 + epsilon)
//     dx[t,j] = (g[j] dy[t,j] - n[t,j] mean over i of g[i] dy[t,i] n[t,i]) / r[t],        n = x / r
//     dg[j]   = sum over t of dy[t,j] n[t,j]
//
// Source: Zhang and Sennrich 2019.
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"

namespace text {

template <class T>
struct rms_norm {
    static constexpr double epsilon = 1e-6;

    moe::matrix<T> scale;  // [1,D]

    explicit rms_norm(moe::index_t width) : scale(1, width) {
        for (moe::index_t j = 0; j < width; ++j) scale(0, j) = T(1);
    }

    template <class B>
    void forward(B& b, moe::matrix_view<const T> x, moe::matrix_view<T> y) const {
        moe::kernels_of<B>::for_rows(b, x.rows, [x, y, g = scale.view()](moe::index_t t) {
            const T inverse = inverse_root(x, t);
            for (moe::index_t j = 0; j < x.cols; ++j) y(t, j) = g(0, j) * x(t, j) * inverse;
        });
    }

    // Adds to the gradient, in the order of the tokens. Adds to dx: the residual path has been there before.
    template <class B>
    void backward(B& b, moe::matrix_view<const T> x, moe::matrix_view<const T> dy, moe::matrix_view<T> dx,
                  rms_norm& gradient) const {
        moe::kernels_of<B>::for_rows(b, x.rows, [x, dy, dx, g = scale.view()](moe::index_t t) {
            const T inverse = inverse_root(x, t);
            T mean = 0;
            for (moe::index_t j = 0; j < x.cols; ++j) mean += g(0, j) * dy(t, j) * x(t, j) * inverse;
            mean /= static_cast<T>(x.cols);
            for (moe::index_t j = 0; j < x.cols; ++j) {
                dx(t, j) += (g(0, j) * dy(t, j) - x(t, j) * inverse * mean) * inverse;
            }
        });
        for (moe::index_t t = 0; t < x.rows; ++t) {
            const T inverse = inverse_root(x, t);
            for (moe::index_t j = 0; j < x.cols; ++j) gradient.scale(0, j) += dy(t, j) * x(t, j) * inverse;
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scale", p.scale...);
    }

private:
    static T inverse_root(moe::matrix_view<const T> x, moe::index_t t) {
        T sum = 0;
        for (const T v : x[t]) sum += v * v;
        return T(1) / std::sqrt(sum / static_cast<T>(x.cols) + static_cast<T>(epsilon));
    }
};

}  // namespace text
