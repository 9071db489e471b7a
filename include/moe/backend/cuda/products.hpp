// backend/cuda: kernel bodies of the grouped products, their epilogues and their gradients
// SPDX-License-Identifier: Apache-2.0
//
// One thread computes one element of the result and adds along K, N or the rows of a group in ascending order.
// Neighbouring threads work on neighbouring outputs, which panels store side by side.
#pragma once

#include "moe/backend/cuda/grid.hpp"
#include "moe/core/math.hpp"

MOE_BEGIN

namespace detail {

// Inputs and weights of one product: z = a w^T + bias; W is the view of any container of weights.
template <class T, class W>
struct device_product {
    matrix_view<const T> a;
    W w;
    matrix_view<const T> bias;  // no data: none

    MOE_FN T operator()(index_t group, index_t source, index_t n) const {
        const T* x = a.row(source);
        T sum = T(0);
        for (index_t k = 0; k < w.inputs; ++k) sum += as_input<typename W::value_type>(x[k]) * T(w(group, n, k));
        return bias.data == nullptr ? sum : sum + bias(group, n);
    }
};

template <class T, class W>
struct linear_body {
    device_groups rows;
    device_product<T, W> product;
    matrix_view<T> c;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows.rows, product.w.outputs);
        if (!at.exists) return;
        const index_t r = rows.first + at.row;
        c(r, at.col) = product(rows.group_of(r), rows.source(r), at.col);
    }
};

template <class T, class W, class A>
struct activation_body {
    device_groups rows;
    device_product<T, W> product;
    A activation;
    matrix_view<T> h, z;  // z without data: not wanted

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows.rows, product.w.outputs);
        if (!at.exists) return;
        const index_t r = rows.first + at.row;
        const T value = product(rows.group_of(r), rows.source(r), at.col);
        if (z.data != nullptr) z(r, at.col) = value;
        h(r, at.col) = activation.template value<scalar_math>(value);
    }
};

template <class T, class W, class A>
struct gated_activation_body {
    device_groups rows;
    device_product<T, W> gate, up;
    A activation;
    matrix_view<T> h, z_gate, z_up;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows.rows, gate.w.outputs);
        if (!at.exists) return;
        const index_t r = rows.first + at.row;
        const index_t group = rows.group_of(r);
        const T g = gate(group, rows.source(r), at.col);
        const T u = up(group, rows.source(r), at.col);
        if (z_gate.data != nullptr) {
            z_gate(r, at.col) = g;
            z_up(r, at.col) = u;
        }
        h(r, at.col) = activation.template value<scalar_math>(g, u);
    }
};

template <class T, class W>
struct input_gradient_body {
    device_groups rows;
    matrix_view<const T> dc;
    W w;
    matrix_view<T> da;
    bool accumulate;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows.rows, w.inputs);
        if (!at.exists) return;
        const index_t r = rows.first + at.row;
        const index_t group = rows.group_of(r);
        T sum = T(0);
        for (index_t n = 0; n < w.outputs; ++n) sum += dc(r, n) * T(w(group, n, at.col));
        da(r, at.col) = accumulate ? da(r, at.col) + sum : sum;
    }
};

// A grid of [groups * K, N]: the padding of panels has no thread.
template <class T>
struct weight_gradient_body {
    device_groups rows;
    matrix_view<const T> dc, a;
    panels_view<T> dw;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t i = number_of(block, thread);
        if (i >= std::int64_t{rows.groups} * dw.inputs * dw.outputs) return;
        const index_t n = static_cast<index_t>(i % dw.outputs);
        const index_t k = static_cast<index_t>(i / dw.outputs % dw.inputs);
        const index_t group = static_cast<index_t>(i / dw.outputs / dw.inputs);
        T sum = dw(group, n, k);
        for (index_t r = rows.offset[group]; r < rows.offset[group + 1]; ++r) sum += dc(r, n) * a(rows.source(r), k);
        dw(group, n, k) = sum;
    }
};

template <class T>
struct bias_gradient_body {
    device_groups rows;
    matrix_view<const T> dc;
    matrix_view<T> db;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, rows.groups, db.cols);
        if (!at.exists) return;
        T sum = db(at.row, at.col);
        for (index_t r = rows.offset[at.row]; r < rows.offset[at.row + 1]; ++r) sum += dc(r, at.col);
        db(at.row, at.col) = sum;
    }
};

}  // namespace detail

MOE_END
