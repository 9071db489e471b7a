// examples/text/embedding: classes -> x [T,D], a learned row per class
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"

namespace text {

template <class T>
struct embedding {
    moe::matrix<T> rows;  // [classes,D]

    // Standard normal.
    embedding(moe::index_t classes, moe::index_t width, std::uint64_t seed, std::string_view name)
        : rows(classes, width) {
        const moe::random_stream random(seed, moe::stream_id(name));
        for (moe::index_t c = 0; c < classes; ++c) {
            for (moe::index_t j = 0; j < width; ++j) {
                rows(c, j) =
                    static_cast<T>(random.normal(static_cast<std::uint64_t>(c), static_cast<std::uint32_t>(j)));
            }
        }
    }

    template <class B>
    void forward(B& b, std::span<const int> token, moe::matrix_view<T> x) const {
        moe::kernels_of<B>::for_rows(b, x.rows, [token, x, from = rows.view()](moe::index_t t) {
            const T* const row = from.row(token[static_cast<std::size_t>(t)]);
            for (moe::index_t j = 0; j < x.cols; ++j) x(t, j) = row[j];
        });
    }

    // Adds to the gradient, in the order of the tokens.
    void backward(std::span<const int> token, moe::matrix_view<const T> dx, embedding& gradient) const {
        for (moe::index_t t = 0; t < dx.rows; ++t) {
            T* const row = gradient.rows.view().row(token[static_cast<std::size_t>(t)]);
            for (moe::index_t j = 0; j < dx.cols; ++j) row[j] += dx(t, j);
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("rows", p.rows...);
    }
};

}  // namespace text
