// examples/text/dropout: x [T,D] -> x with a random part of it set to 0 and the rest enlarged to the same mean, in
// place SPDX-License-Identifier: Apache-2.0
//
//     x[t,j] = 0 with probability p, else x[t,j] / (1 - p)
//
// What is dropped is a function of (random, t, j) alone, so that backward drops the same from the gradient. p lies in
// [0, 1). Source: Srivastava et al. 2014.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"

namespace text {

template <class B, class T>
void drop(B& b, moe::matrix_view<T> x, double p, const moe::random_stream& random) {
    const auto limit = static_cast<std::uint32_t>(p * 4294967296.0);
    const T rest = static_cast<T>(1 / (1 - p));
    moe::kernels_of<B>::for_rows(b, x.rows, [=](moe::index_t t) {
        for (moe::index_t j = 0; j < x.cols; j += 4) {
            const auto words = random.words(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(j / 4));
            for (moe::index_t i = 0; i < 4 && j + i < x.cols; ++i) {
                x(t, j + i) = words[static_cast<std::size_t>(i)] < limit ? T(0) : x(t, j + i) * rest;
            }
        }
    });
}

}  // namespace text
