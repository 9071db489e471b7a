// backend/cpu: grouped products with their epilogues: bias, activation, gated activation
// SPDX-License-Identifier: Apache-2.0
//
// A work item computes the rows of a strip times one panel of every weight into a tile of scratch that stays in cache,
// then finishes there: bias, copy of the argument for the backward pass, activation, copy to the output. The activation
// stands in a function of its own that is never inlined, so that inference and recording run the same instructions.
#pragma once

#include "moe/backend/cpu/quantized_tiles.hpp"

MOE_BEGIN

namespace detail {

// Whether P widens a slice of a panel once for many rows, which then run as a product of `unpacked` weights.
template <class P>
inline constexpr bool unpacks = requires { P::rows_worth_unpacking; };
// Scalars that takes.
template <class P>
constexpr std::size_t unpacked_size() {
    if constexpr (requires { P::unpacked_size; }) return P::unpacked_size;
    else return unpacks<P> ? std::size_t(fold) * std::size_t(P::width) : 0;
}

// acc [rows][width] = inputs of a times one panel, of which `columns` columns exist; reads ahead in the panel, then at
// `next`.
template <class P>
    requires(!is_quantized_product<P> && !is_tiled<P>)
void multiply_panel(const typename P::input* const* a, index_t rows, index_t lines, const typename P::weight* panel,
                    typename P::scalar* acc, const typename P::weight* next, typename P::scalar* unpacked = nullptr,
                    index_t columns = P::width) {
    constexpr std::ptrdiff_t line = std::ptrdiff_t(P::width) * P::together;
    if (lines == 0) std::fill_n(acc, std::ptrdiff_t(rows) * P::width, typename P::scalar(0));
    for_tiles(rows, rows_at_once, [&](index_t first, index_t count, index_t block, index_t blocks) {
        for (index_t k = 0; k < lines; k += fold) {
            const index_t here = std::min(fold, lines - k);
            const index_t after = std::min(fold, lines - k - here);
            const typename P::weight* b = panel + k * line;
            const typename P::weight* then = block + 1 < blocks ? panel : next;
            const typename P::weight* ahead = after > 0 ? b + here * line : then;
            const index_t ahead_lines = after > 0 ? after : std::min(fold, lines);
            const std::size_t bytes = std::size_t(ahead_lines) * std::size_t(line) * sizeof(typename P::weight);
            if constexpr (unpacks<P>) {
                if (count >= P::rows_worth_unpacking) {
                    for (index_t i = 0; i < here; ++i) P::unpack(b + i * line, unpacked + i * line);
                    multiply_slice<typename P::unpacked>(a + first, count, k, unpacked, here,
                                                         acc + std::ptrdiff_t(first) * P::width, k > 0,
                                                         {ahead, ahead == nullptr ? 0 : bytes}, columns);
                    continue;
                }
            }
            multiply_slice<P>(a + first, count, k, b, here, acc + std::ptrdiff_t(first) * P::width, k > 0,
                              {ahead, ahead == nullptr ? 0 : bytes}, columns);
        }
    });
}

// acc += bias of columns [column, column + columns)
template <class T>
void add_bias(T* acc, index_t rows, matrix_view<const T> bias, index_t group, index_t column, index_t columns) {
    using V = simd_vector<T>;
    constexpr index_t width = panels<T>::width;
    if (bias.data == nullptr) return;
    alignas(64) T padded[std::size_t{width}] = {};
    std::copy_n(bias.row(group) + column, columns, padded);
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < width; j += V::size) {
            T* at = acc + std::ptrdiff_t(i) * width + j;
            (V::load_aligned(at) + V::load_aligned(padded + j)).store_aligned(at);
        }
    }
}

template <class T>
void store_tile(const T* acc, index_t rows, matrix_view<T> c, index_t first_row, index_t column, index_t columns) {
    for (index_t i = 0; i < rows; ++i) {
        std::copy_n(acc + std::ptrdiff_t(i) * panels<T>::width, columns, c.row(first_row + i) + column);
    }
}

template <class T, class A>
MOE_NOINLINE void activate(T* z, std::ptrdiff_t count, const A& act) {
    using V = simd_vector<T>;
    for (std::ptrdiff_t i = 0; i < count; i += V::size) {
        act.template value<simd_math>(V::load_aligned(z + i)).store_aligned(z + i);
    }
}

// gate = act(gate, up)
template <class T, class A>
MOE_NOINLINE void activate_gated(T* gate, const T* up, std::ptrdiff_t count, const A& act) {
    using V = simd_vector<T>;
    for (std::ptrdiff_t i = 0; i < count; i += V::size) {
        act.template value<simd_math>(V::load_aligned(gate + i), V::load_aligned(up + i)).store_aligned(gate + i);
    }
}

// Columns of panel p that exist.
template <class T>
index_t panel_columns(index_t outputs, index_t p) {
    return std::min(panels<T>::width, outputs - p * panels<T>::width);
}

template <class P, std::size_t matrices, class B, class T, class W, class F>
void multiply_forward_by(B& b, const row_groups& rows, matrix_view<const T> a, const W* const (&w)[matrices],
                         const F& finish) {
    static_assert(P::width == panels<T>::width);
    constexpr std::size_t tile_size = std::size_t(strip_limit) * std::size_t(P::width);
    constexpr std::size_t worker_size = matrices * tile_size + unpacked_size<P>();
    const index_t panel_count = w[0]->panel_count();
    const index_t lines = w[0]->lines();
    const arena_frame frame(b.scratch());
    const input_rows<P> inputs = make_inputs<P>(b, rows, a);
    const std::span<const strip> strips = make_strips(b.scratch(), rows, panel_count, b.threads(), P::tile_rows);
    const std::span<T> sums = b.scratch().template take<T>(std::size_t(b.threads()) * worker_size);
    const index_t items = static_cast<index_t>(strips.size()) * panel_count;
    const double cost = static_cast<double>(items) * P::width * P::together * lines;
    b.parallel(items, cost, [&](index_t item, index_t next, index_t worker) {
        const strip s = strips[std::size_t(item / panel_count)];
        const index_t p = item % panel_count;
        const index_t columns = panel_columns<T>(w[0]->outputs(), p);
        const strip_input<P> input(s, inputs);
        T* const mine = sums.data() + std::size_t(worker) * worker_size;
        T* sum[matrices];
        for (std::size_t m = 0; m < matrices; ++m) {
            const typename P::weight* ahead = nullptr;
            if (m + 1 < matrices)
                ahead = w[m + 1]->panel(s.group, p);
            else if (next < items)
                ahead = w[0]->panel(strips[std::size_t(next / panel_count)].group, next % panel_count);
            sum[m] = mine + m * tile_size;
            multiply_panel<P>(input.row, s.rows, lines, w[m]->panel(s.group, p), sum[m], ahead,
                              mine + matrices * tile_size, columns);
        }
        finish(s, p, sum);
    });
}

// finish(strip, panel, sums): sums[m] is [rows][width] of weight m.
template <std::size_t matrices, class B, class T, class W, class F>
void multiply_forward(B& b, const row_groups& rows, matrix_view<const T> a, const W* const (&w)[matrices],
                      const F& finish) {
    using P = product_of<T, W>;
    if constexpr (has_tiled_product<P>) {
        if (uses_tiles(b)) return multiply_forward_by<tiled_product<P>>(b, rows, a, w, finish);
    }
    multiply_forward_by<P>(b, rows, a, w, finish);
}

}  // namespace detail

MOE_END
