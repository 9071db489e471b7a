// backend/cpu: y[t] = or += sum of weight * row over the rows of token t, and its gradients
// SPDX-License-Identifier: Apache-2.0
//
// A token's rows are added in ascending order, element by element one chain of fused multiply-adds that starts from 0
// or from y. The gradient of a weight is a dot product in fixed partial sums. Work is split by tokens or rows, never
// within a sum.
#pragma once

#include "moe/backend/cpu/elementwise.hpp"
#include "moe/core/plan.hpp"

MOE_BEGIN

namespace detail {

template <class B, class T>
void weighted_sum(B& b, const plan_view& plan, matrix_view<const T> rows, std::span<const T> weight, matrix_view<T> y,
                  bool accumulate) {
    using V = simd_vector<T>;
    const index_t first_row = plan.first_row();
    const index_t last_row = plan.last_row();
    const double per_token = 1 + static_cast<double>(plan.rows()) / std::max(plan.tokens, index_t{1});
    for_blocks(b, plan.tokens, y.cols, per_token, [&](index_t t, index_t first, index_t last) {
        const index_t begin = plan.token_offset[std::size_t(t)];
        const index_t end = plan.token_offset[std::size_t(t) + 1];
        T* out = y.row(t);
        constexpr index_t vectors = 4;
        const auto sum_columns = [&](index_t j, auto count_of, auto load) {
            V sum[count_of.value];
            unroll<count_of.value>([&](auto v)
                                       MOE_INLINE_LAMBDA { sum[v] = accumulate ? load(out + j + v * V::size) : V(0); });
            for (index_t i = begin; i < end; ++i) {
                const index_t r = plan.token_row[std::size_t(i)];
                if (r < first_row || r >= last_row) continue;
                const V w(weight.empty() ? T(1) : weight[std::size_t(plan.slot[std::size_t(r)])]);
                const T* row = rows.row(r) + j;
                unroll<count_of.value>([&](auto v)
                                           MOE_INLINE_LAMBDA { sum[v] = fma(w, load(row + v * V::size), sum[v]); });
            }
            unroll<count_of.value>([&](auto v)
                                       MOE_INLINE_LAMBDA { store_some(sum[v], out + j + v * V::size, last - j); });
        };
        index_t j = first;
        for (; j + vectors * V::size <= last; j += vectors * V::size) {
            sum_columns(j, std::integral_constant<index_t, vectors>{}, [](const T* p) { return V::load(p); });
        }
        for (; j < last; j += V::size) {
            sum_columns(j, std::integral_constant<index_t, 1>{}, [&](const T* p) { return load_some(p, last - j); });
        }
    });
}

// Four partial sums of neighbouring vectors, then their sum.
template <class T>
T dot_product(const T* x, const T* y, index_t count) {
    using V = simd_vector<T>;
    V sum[4] = {V(0), V(0), V(0), V(0)};
    index_t j = 0;
    for (; j + 4 * V::size <= count; j += 4 * V::size) {
        unroll<4>([&](auto v) MOE_INLINE_LAMBDA {
            sum[v] = fma(V::load(x + j + v * V::size), V::load(y + j + v * V::size), sum[v]);
        });
    }
    for (; j < count; j += V::size) sum[0] = fma(load_some(x + j, count - j), load_some(y + j, count - j), sum[0]);
    return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class B, class T>
void weighted_sum_gradient(B& b, const plan_view& plan, matrix_view<const T> rows, std::span<const T> weight,
                           matrix_view<const T> dy, matrix_view<T> d_rows, std::span<T> d_weight) {
    using V = simd_vector<T>;
    const index_t columns = d_rows.cols;
    const index_t chunk = std::max(index_t{1}, 8192 / std::max(columns, index_t{1}));
    const index_t items = ceil_divide(plan.rows(), chunk);
    b.parallel(items, 4.0 * plan.rows() * columns, [&](index_t item, index_t, index_t) {
        const index_t begin = plan.first_row() + item * chunk;
        const index_t end = std::min(begin + chunk, plan.last_row());
        for (index_t r = begin; r < end; ++r) {
            const std::size_t slot = std::size_t(plan.slot[std::size_t(r)]);
            const T* upstream = dy.row(plan.token[std::size_t(r)]);
            const V w(weight.empty() ? T(1) : weight[slot]);
            T* d = d_rows.row(r);
            // First the dot product: d_rows may stand where rows stand.
            if (!d_weight.empty()) d_weight[slot] += dot_product(upstream, rows.row(r), columns);
            for (index_t j = 0; j < columns; j += V::size) {
                store_some(w * load_some(upstream + j, columns - j), d + j, columns - j);
            }
        }
    });
}

}  // namespace detail

MOE_END
