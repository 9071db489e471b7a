// backend/cuda: kernel bodies that treat every element or row alone: row programs, activation gradients, copy, fill, add
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/cuda/grid.hpp"
#include "moe/core/math.hpp"

MOE_BEGIN

namespace detail {

template <class P>
struct rows_body {
    index_t rows;
    P program;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t i = number_of(block, thread);
        if (i < rows) program(static_cast<index_t>(i));
    }
};

template <class T, class A>
struct activation_gradient_body {
    index_t first, rows;
    matrix_view<const T> z;
    A activation;
    matrix_view<T> d;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows, z.cols);
        if (!at.exists) return;
        T& here = d(first + at.row, at.col);
        here = activation.template gradient<scalar_math>(z(first + at.row, at.col), here);
    }
};

// d_up may be dh.
template <class T, class A>
struct gated_activation_gradient_body {
    index_t first, rows;
    matrix_view<const T> z_gate, z_up, dh;
    A activation;
    matrix_view<T> d_gate, d_up;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows, z_gate.cols);
        if (!at.exists) return;
        const index_t r = first + at.row;
        const auto d = activation.template gradient<scalar_math>(z_gate(r, at.col), z_up(r, at.col), dh(r, at.col));
        d_gate(r, at.col) = d.gate;
        d_up(r, at.col) = d.up;
    }
};

template <class T>
struct copy_body {
    matrix_view<const T> from;
    matrix_view<T> to;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, to.rows, to.cols);
        if (at.exists) to(at.row, at.col) = from(at.row, at.col);
    }
};

template <class T>
struct fill_body {
    matrix_view<T> to;
    T value;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, to.rows, to.cols);
        if (at.exists) to(at.row, at.col) = value;
    }
};

template <class T>
struct add_body {
    matrix_view<const T> from;
    matrix_view<T> to;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, to.rows, to.cols);
        if (at.exists) to(at.row, at.col) += from(at.row, at.col);
    }
};

}  // namespace detail

MOE_END
