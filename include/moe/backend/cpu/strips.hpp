// backend/cpu: cutting the rows of all groups into strips, the units of work of the grouped products
// SPDX-License-Identifier: Apache-2.0
//
// A strip is some neighbouring rows of one group. A work item is a strip and a column block; how rows are cut never
// changes a result, so it may follow the number of threads.
#pragma once

#include "moe/backend/cpu/tile.hpp"
#include "moe/backend/kernels.hpp"

MOE_BEGIN

namespace detail {

struct strip {
    index_t group = 0;
    index_t first = 0;
    index_t rows = 0;
};

// Rows of a strip: enough of them that a panel, once in cache, serves many; few enough that their sums stay in cache
// too.
inline constexpr index_t strip_limit = 128;
// Items a thread should get, so that one slow item does not keep the others waiting.
inline constexpr index_t items_per_thread = 4;

// Strips of all rows, at least as many as make items_per_thread items a thread with `columns` column blocks each.
inline std::span<strip> make_strips(arena& memory, const row_groups& rows, index_t columns, index_t threads) {
    const index_t groups = rows.groups();
    if (groups <= 0) return {};
    index_t limit = strip_limit;
    if (threads > 1) {
        const index_t total = rows.end(groups - 1) - rows.begin(0);
        const index_t wanted = ceil_divide(items_per_thread * threads, std::max(columns, index_t{1}));
        limit = std::min(limit, ceil_divide(ceil_divide(total, wanted), tile_rows) * tile_rows);
        limit = std::max(limit, tile_rows);
    }
    std::size_t count = 0;
    for (index_t g = 0; g < groups; ++g)
        count += static_cast<std::size_t>(ceil_divide(rows.end(g) - rows.begin(g), limit));
    const std::span<strip> strips = memory.take<strip>(count);
    std::size_t at = 0;
    for (index_t g = 0; g < groups; ++g) {
        const index_t size = rows.end(g) - rows.begin(g);
        const index_t parts = ceil_divide(size, limit);
        index_t first = rows.begin(g);
        for (index_t i = 0; i < parts; ++i) {
            const index_t here = size / parts + (i < size % parts ? 1 : 0);
            strips[at++] = {g, first, here};
            first += here;
        }
    }
    return strips;
}

// Addresses of the input rows of a strip.
template <class T>
struct strip_input {
    const T* row[strip_limit];

    strip_input(const strip& s, const row_groups& rows, matrix_view<const T> a) {
        for (index_t i = 0; i < s.rows; ++i) row[i] = a.row(rows.source(s.first + i));
    }
    // The same rows of a matrix that is not gathered.
    strip_input(const strip& s, matrix_view<const T> a) {
        for (index_t i = 0; i < s.rows; ++i) row[i] = a.row(s.first + i);
    }
};

// Depth of one chain of additions: longer sums are sums of such partial sums, which costs little and keeps the rounding
// error of float near that of the longest chain.
inline constexpr index_t fold = 256;

// c [rows][width] = or += (rows of a from column `first` on) * b [depth][width].
template <class T>
void multiply_slice(const T* const* a, index_t rows, index_t first, const T* b, index_t depth, T* c, bool add,
                    const upcoming& next) {
    for_tiles(rows, [&](index_t row, index_t count, index_t tile, index_t tiles) {
        multiply_rows<T>(count, row_elements<T>{a + row, first}, b, depth, c + std::ptrdiff_t(row) * panels<T>::width,
                         add, read_ahead(next, tile, tiles, depth));
    });
}

}  // namespace detail

MOE_END
