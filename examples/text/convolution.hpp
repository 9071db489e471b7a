// examples/text/convolution: x [T,D] -> y [T,D], a causal convolution over the last `taps` tokens of a sequence
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = b + sum over i in [0, taps) of W_i x[t-i]       x is 0 in front of the first token of the sequence
//
// The windows [x[t], x[t-1], ...] are laid side by side, so that the sum is one product in the library's own kernels. A
// row of y depends on rows of x of the same sequence that are not behind it, and on no others.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "support/linear.hpp"

namespace text {

template <class T>
struct causal_convolution {
    example::linear<T> weights;  // [D, taps * D]

    causal_convolution(moe::index_t width, moe::index_t taps, std::uint64_t seed, std::string_view name)
        : weights(taps * width, width, seed, name) {}

    // What backward needs: the windows [T, taps * D] and how far into its sequence each token stands.
    struct record {
        moe::matrix<T> windows, d_windows;
        std::vector<moe::index_t> before, behind;  // tokens of the same sequence

        record(moe::index_t tokens, moe::index_t width, moe::index_t taps)
            : windows(tokens, taps * width),
              d_windows(tokens, taps * width),
              before(static_cast<std::size_t>(tokens)),
              behind(static_cast<std::size_t>(tokens)) {}

        // `sequence`: the first token of every sequence, then T.
        void place(std::span<const moe::index_t> sequence) {
            for (std::size_t s = 0; s + 1 < sequence.size(); ++s) {
                for (moe::index_t t = sequence[s]; t < sequence[s + 1]; ++t) {
                    before[static_cast<std::size_t>(t)] = t - sequence[s];
                    behind[static_cast<std::size_t>(t)] = sequence[s + 1] - 1 - t;
                }
            }
        }
    };

    template <class B>
    void forward(B& b, moe::matrix_view<const T> x, std::span<const moe::index_t> sequence, record& r,
                 moe::matrix_view<T> y) const {
        r.place(sequence);
        const auto fill = [x, to = r.windows.view(), &r](moe::index_t t) {
            const moe::index_t width = x.cols, taps = to.cols / width;
            const moe::index_t known = std::min(taps, r.before[static_cast<std::size_t>(t)] + 1);
            for (moe::index_t i = 0; i < known; ++i) std::copy_n(x.row(t - i), width, to.row(t) + i * width);
            std::fill(to.row(t) + known * width, to.row(t) + taps * width, T(0));
        };
        moe::kernels_of<B>::for_rows(b, x.rows, fill);
        weights.forward(b, r.windows.view(), y);
    }

    // Behind forward. Adds to the gradient, writes dx.
    template <class B>
    void backward(B& b, moe::matrix_view<const T> dy, record& r, moe::matrix_view<T> dx,
                  causal_convolution& gradient) const {
        weights.backward(b, r.windows.view(), dy, r.d_windows.view(), gradient.weights);
        const auto gather = [dx, from = r.d_windows.view(), &r](moe::index_t t) {
            const moe::index_t width = dx.cols, taps = from.cols / width;
            const moe::index_t users = std::min(taps, r.behind[static_cast<std::size_t>(t)] + 1);
            std::copy_n(from.row(t), width, dx.row(t));
            for (moe::index_t i = 1; i < users; ++i) {
                const T* const part = from.row(t + i) + i * width;
                for (moe::index_t j = 0; j < width; ++j) dx(t, j) += part[j];
            }
        };
        moe::kernels_of<B>::for_rows(b, dx.rows, gather);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        example::linear<T>::parameters(v, p.weights...);
    }
};

}  // namespace text
