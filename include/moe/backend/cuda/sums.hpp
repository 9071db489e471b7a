// backend/cuda: kernel bodies of the weighted sum of a token's rows and of its gradients
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/cuda/grid.hpp"

MOE_BEGIN

namespace detail {

// What the bodies see of a plan; rows outside of [first, last) take no part.
template <class T>
struct device_sum {
    std::span<const index_t> token, slot, token_offset, token_row;
    index_t first, last, tokens;
    std::span<const T> weight;  // [slots], empty: 1

    MOE_FN T weight_of(index_t r) const { return weight.empty() ? T(1) : weight[std::size_t(slot[std::size_t(r)])]; }
};

// One thread for every element of y, rows in ascending order.
template <class T>
struct weighted_sum_body {
    device_sum<T> plan;
    matrix_view<const T> rows;
    matrix_view<T> y;
    bool accumulate;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, plan.tokens, y.cols);
        if (!at.exists) return;
        T sum = accumulate ? y(at.row, at.col) : T(0);
        const index_t end = plan.token_offset[std::size_t(at.row) + 1];
        for (index_t i = plan.token_offset[std::size_t(at.row)]; i < end; ++i) {
            const index_t r = plan.token_row[std::size_t(i)];
            if (r >= plan.first && r < plan.last) sum += plan.weight_of(r) * rows(r, at.col);
        }
        y(at.row, at.col) = sum;
    }
};

// d_rows: one thread for every element.
template <class T>
struct row_gradient_body {
    device_sum<T> plan;
    matrix_view<const T> dy;
    matrix_view<T> d_rows;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const grid_element at = element_of(block, thread, plan.last - plan.first, d_rows.cols);
        if (!at.exists) return;
        const index_t r = plan.first + at.row;
        d_rows(r, at.col) = plan.weight_of(r) * dy(plan.token[std::size_t(r)], at.col);
    }
};

// d_weight: one thread for every row; a slot has one row.
template <class T>
struct slot_gradient_body {
    device_sum<T> plan;
    matrix_view<const T> rows, dy;
    std::span<T> d_weight;

    MOE_FN void operator()(index_t block, index_t thread) const {
        const std::int64_t i = number_of(block, thread);
        if (i >= plan.last - plan.first) return;
        const index_t r = plan.first + static_cast<index_t>(i);
        const T* upstream = dy.row(plan.token[std::size_t(r)]);
        T sum = T(0);
        for (index_t n = 0; n < rows.cols; ++n) sum += upstream[n] * rows(r, n);
        d_weight[std::size_t(plan.slot[std::size_t(r)])] += sum;
    }
};

}  // namespace detail

MOE_END
