// backend/cpu: verbs that treat every element alone: activation gradients, copy, fill, add
// SPDX-License-Identifier: Apache-2.0
//
// Matrices are cut into blocks of neighbouring elements, by rows where rows are short and by columns where they are
// long. The last elements of a row go through the same instructions as all others, in a vector filled up with zeros.
#pragma once

#include "moe/backend/cpu/strips.hpp"

MOE_BEGIN

namespace detail {

// f(row, first, last): every element of [rows, cols] in exactly one call, `cost` operations an element.
template <class B, class F>
void for_blocks(B& b, index_t rows, index_t cols, double cost, const F& f) {
    constexpr index_t block = 8192;
    if (rows <= 0 || cols <= 0) return;
    const index_t column_blocks = ceil_divide(cols, block);
    const index_t rows_together = column_blocks > 1 ? 1 : std::max(index_t{1}, block / cols);
    const index_t row_blocks = ceil_divide(rows, rows_together);
    b.parallel(row_blocks * column_blocks, cost * rows * cols, [&](index_t item, index_t, index_t) {
        const index_t first_row = item / column_blocks * rows_together;
        const index_t first = item % column_blocks * block;
        const index_t last_row = std::min(first_row + rows_together, rows);
        for (index_t r = first_row; r < last_row; ++r) f(r, first, std::min(first + block, cols));
    });
}

template <class T>
MOE_INLINE simd_vector<T> load_some(const T* p, index_t count) {
    using V = simd_vector<T>;
    return count >= V::size ? V::load(p) : V::load_partial(p, count);
}
template <class T>
MOE_INLINE void store_some(simd_vector<T> v, T* p, index_t count) {
    if (count >= simd_vector<T>::size)
        v.store(p);
    else
        v.store_partial(p, count);
}

inline constexpr double activation_cost = 16;

template <class B, class T, class A>
void activation_gradient(B& b, const row_groups& rows, matrix_view<const T> z, const A& act, matrix_view<T> dh) {
    for_blocks(b, row_count(rows), z.cols, activation_cost, [&](index_t i, index_t first, index_t last) {
        const T* argument = z.row(first_row(rows) + i);
        T* d = dh.row(first_row(rows) + i);
        for (index_t j = first; j < last; j += simd_vector<T>::size) {
            const auto dz =
                act.template gradient<simd_math>(load_some(argument + j, last - j), load_some(d + j, last - j));
            store_some(dz, d + j, last - j);
        }
    });
}

template <class B, class T, class A>
void gated_activation_gradient(B& b, const row_groups& rows, matrix_view<const T> z_gate, matrix_view<const T> z_up,
                               matrix_view<const T> dh, const A& act, matrix_view<T> d_gate, matrix_view<T> d_up) {
    for_blocks(b, row_count(rows), z_gate.cols, activation_cost, [&](index_t i, index_t first, index_t last) {
        const index_t r = first_row(rows) + i;
        for (index_t j = first; j < last; j += simd_vector<T>::size) {
            const auto load = [&](matrix_view<const T> m) { return load_some(m.row(r) + j, last - j); };
            const auto d = act.template gradient<simd_math>(load(z_gate), load(z_up), load(dh));
            store_some(d.gate, d_gate.row(r) + j, last - j);
            store_some(d.up, d_up.row(r) + j, last - j);
        }
    });
}

template <class B, class T>
void copy_matrix(B& b, matrix_view<const T> from, matrix_view<T> to) {
    for_blocks(b, to.rows, to.cols, 1, [&](index_t r, index_t first, index_t last) {
        std::copy(from.row(r) + first, from.row(r) + last, to.row(r) + first);
    });
}

template <class B, class T>
void fill_matrix(B& b, matrix_view<T> to, T value) {
    for_blocks(b, to.rows, to.cols, 1,
               [&](index_t r, index_t first, index_t last) { std::fill(to.row(r) + first, to.row(r) + last, value); });
}

template <class B, class T>
void add_matrix(B& b, matrix_view<const T> from, matrix_view<T> to) {
    for_blocks(b, to.rows, to.cols, 1, [&](index_t r, index_t first, index_t last) {
        T* sum = to.row(r);
        const T* term = from.row(r);
        for (index_t j = first; j < last; j += simd_vector<T>::size) {
            store_some(load_some<T>(sum + j, last - j) + load_some(term + j, last - j), sum + j, last - j);
        }
    });
}

}  // namespace detail

MOE_END
