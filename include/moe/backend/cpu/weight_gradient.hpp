// backend/cpu: dW += dC^T A and db += column sums of dC, grouped
// SPDX-License-Identifier: Apache-2.0
//
// A work item is a range of inputs of a group and some of its panels. The rows of the group come in blocks, in
// ascending order; the block's part of A is packed once, its part of dC once a panel, so that it does not matter how
// far apart rows stand in memory. The sums of a block are added to dW in place. The padding of the last panel is never
// written.
#pragma once

#include "moe/backend/cpu/forward.hpp"

MOE_BEGIN

namespace detail {

inline constexpr index_t gradient_rows = 128;                     // rows summed in registers before dW is touched
inline constexpr index_t gradient_columns = 8 * tile_rows;        // neighbouring inputs in packed rows
inline constexpr index_t gradient_range = 10 * gradient_columns;  // inputs of a work item

template <class T>
struct gradient_scratch {
    alignas(64) T a[gradient_rows * gradient_range];  // [range / columns][rows][columns]
    alignas(64) T dc[gradient_rows * panels<T>::width];
    alignas(64) T tile[tile_rows * panels<T>::width];
};

// to [rows][columns] = `count` columns of rows [first, first + rows) of m, from `column` on, then zeros.
template <index_t columns, class T, class Source>
void pack_columns(matrix_view<const T> m, index_t first, index_t rows, const Source& source, index_t column,
                  index_t count, T* to) {
    for (index_t i = 0; i < rows; ++i, to += columns) {
        const T* from = m.row(source(first + i)) + column;
        if (count == columns) {
            std::memcpy(to, from, std::size_t(columns) * sizeof(T));
        } else {
            std::copy_n(from, count, to);
            std::fill(to + count, to + columns, T(0));
        }
    }
}

// dw [inputs][width] += sum over rows of a [rows][gradient_columns] times dc; the first `columns` of a panel row exist.
template <class T>
void add_outer_products(gradient_scratch<T>& s, const T* a, index_t rows, index_t inputs, T* dw, index_t columns) {
    constexpr index_t width = panels<T>::width;
    for_tiles(inputs, tile_rows, [&](index_t k, index_t count, index_t, index_t) {
        const column_elements<T> elements{a + k, gradient_columns};
        T* out = dw + std::ptrdiff_t(k) * width;
        const std::size_t bytes = std::size_t(count) * width * sizeof(T);
        const read_ahead ahead = read_ahead_shares({out + count * width, bytes}, 1, rows).next();
        if (columns == width) {
            multiply_rows<plain_product<T>>(count, elements, s.dc, rows, out, true, ahead);
            return;
        }
        multiply_rows<plain_product<T>>(count, elements, s.dc, rows, s.tile, false, ahead);
        for (index_t i = 0; i < count; ++i) {
            for (index_t j = 0; j < columns; ++j) out[i * width + j] += s.tile[i * width + j];
        }
    });
}

template <class B, class T>
void weight_gradient(B& b, const row_groups& rows, matrix_view<const T> dc, matrix_view<const T> a, panels<T>& dw) {
    constexpr index_t width = panels<T>::width;
    const arena_frame frame(b.scratch());
    const std::span<index_t> active =
        b.scratch().template take<index_t>(std::size_t(std::max(rows.groups(), index_t{0})));
    index_t groups = 0;
    for (index_t g = 0; g < rows.groups(); ++g) {
        if (rows.end(g) > rows.begin(g)) active[std::size_t(groups++)] = g;
    }
    const index_t panel_count = dw.panel_count();
    if (groups == 0 || panel_count == 0 || dw.inputs() == 0) return;
    const index_t ranges = ceil_divide(dw.inputs(), gradient_range);
    const index_t wanted = ceil_divide(b.threads() > 1 ? items_per_thread * b.threads() : 1, groups * ranges);
    const index_t together = ceil_divide(panel_count, std::min(wanted, panel_count));  // panels of an item
    const index_t parts = ceil_divide(panel_count, together);
    const std::span<gradient_scratch<T>> scratch =
        b.scratch().template take<gradient_scratch<T>>(std::size_t(b.threads()));
    const double cost = static_cast<double>(rows.end(rows.groups() - 1) - rows.begin(0)) * dw.outputs() * dw.inputs();
    b.parallel(groups * ranges * parts, cost, [&](index_t item, index_t, index_t worker) {
        gradient_scratch<T>& s = scratch[std::size_t(worker)];
        const index_t g = active[std::size_t(item / (ranges * parts))];
        const index_t first_input = item / parts % ranges * gradient_range;
        const index_t inputs = std::min(gradient_range, dw.inputs() - first_input);
        const index_t first_panel = item % parts * together;
        const index_t last_panel = std::min(first_panel + together, panel_count);
        for (index_t r = rows.begin(g); r < rows.end(g); r += gradient_rows) {
            const index_t count = std::min(gradient_rows, rows.end(g) - r);
            for (index_t k = 0; k < inputs; k += gradient_columns) {
                pack_columns<gradient_columns>(
                    a, r, count, [&](index_t i) { return rows.source(i); }, first_input + k,
                    std::min(gradient_columns, inputs - k), s.a + k * count);
            }
            for (index_t p = first_panel; p < last_panel; ++p) {
                const index_t columns = panel_columns<T>(dw.outputs(), p);
                pack_columns<width>(
                    dc, r, count, [](index_t i) { return i; }, p * width, columns, s.dc);
                for (index_t k = 0; k < inputs; k += gradient_columns) {
                    add_outer_products(s, s.a + k * count, count, std::min(gradient_columns, inputs - k),
                                       dw.panel(g, p) + std::ptrdiff_t(first_input + k) * width, columns);
                }
            }
        }
    });
}

// One block of columns of one group per item, rows in ascending order.
template <class B, class T>
void bias_gradient(B& b, const row_groups& rows, matrix_view<const T> dc, matrix_view<T> db) {
    using V = simd_vector<T>;
    constexpr index_t width = panels<T>::width;
    const index_t blocks = ceil_divide(db.cols, width);
    const index_t total = rows.groups() > 0 ? rows.end(rows.groups() - 1) - rows.begin(0) : 0;
    b.parallel(rows.groups() * blocks, static_cast<double>(total) * db.cols, [&](index_t item, index_t, index_t) {
        const index_t g = item / blocks;
        const index_t first = item % blocks * width;
        const index_t last = std::min(first + width, db.cols);
        if (rows.begin(g) == rows.end(g)) return;
        for (index_t j = first; j < last; j += V::size) {
            const index_t count = std::min(V::size, last - j);
            V sum = V::load_partial(db.row(g) + j, count);
            for (index_t r = rows.begin(g); r < rows.end(g); ++r) {
                const T* from = dc.row(r) + j;
                sum = sum + (count == V::size ? V::load(from) : V::load_partial(from, count));
            }
            sum.store_partial(db.row(g) + j, count);
        }
    });
}

}  // namespace detail

MOE_END
