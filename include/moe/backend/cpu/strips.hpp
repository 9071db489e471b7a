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

// Strips of all rows, at least as many as make items_per_thread items a thread with `columns` column blocks each, of
// tiles of `tile` rows.
inline std::span<strip> make_strips(arena& memory, const row_groups& rows, index_t columns, index_t threads,
                                    index_t tile) {
    const index_t groups = rows.groups();
    if (groups <= 0) return {};
    index_t limit = strip_limit;
    if (threads > 1) {
        const index_t total = rows.end(groups - 1) - rows.begin(0);
        const index_t wanted = ceil_divide(items_per_thread * threads, std::max(columns, index_t{1}));
        limit = std::min(limit, ceil_divide(ceil_divide(total, wanted), tile) * tile);
        limit = std::max(limit, tile);
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

// The rows that belong to any group stand side by side.
inline index_t first_row(const row_groups& rows) { return rows.groups() > 0 ? rows.begin(0) : 0; }
inline index_t row_count(const row_groups& rows) {
    return rows.groups() > 0 ? rows.end(rows.groups() - 1) - rows.begin(0) : 0;
}

// The inputs of row r, as product P reads them.
template <class P>
struct input_rows {
    const typename P::input* data;
    std::ptrdiff_t stride;
    const index_t* place;  // of row r; none: r - first
    index_t first;

    const typename P::input* row(index_t r) const {
        return data + (place != nullptr ? place[r] : r - first) * stride;
    }
};

// Whether the inputs of neighbouring rows stand side by side, even where rows are gathered.
template <class P>
inline constexpr bool wants_neighbours = requires { P::spare_rows; };

// Packs, where P wants that, every row of `a` that is read once: all of `a` if rows are gathered and share them.
template <class P, class B, class T>
input_rows<P> make_inputs(B& b, const row_groups& rows, matrix_view<const T> a) {
    const index_t* gather = rows.gather.empty() ? nullptr : rows.gather.data();
    if constexpr (!P::packs) {
        return {a.data, a.stride, gather, 0};
    } else {
        using X = typename P::input;
        const index_t first = first_row(rows);
        const bool shared = !wants_neighbours<P> && gather != nullptr && a.rows < row_count(rows);
        const index_t count = shared ? a.rows : row_count(rows);
        std::size_t room = std::size_t(count);
        if constexpr (wants_neighbours<P>) room += std::size_t(P::spare_rows);
        // A line more than the inputs take, so that rows do not stand a multiple of the cache's ways apart.
        std::size_t inputs = std::size_t(ceil_divide(a.cols, P::together));
        if constexpr (requires { P::row_words(a.cols); }) inputs = std::size_t(P::row_words(index_t(inputs)));
        const std::size_t stride = (inputs * sizeof(X) / P::block + 2) * P::block / sizeof(X);
        const std::span<X> packed = b.scratch().template take<X>(room * stride);
        constexpr index_t chunk = 8;
        b.parallel(ceil_divide(count, chunk), 2.0 * count * a.cols, [&](index_t item, index_t, index_t) {
            for (index_t i = item * chunk; i < std::min((item + 1) * chunk, count); ++i) {
                P::pack(a.row(shared ? i : rows.source(first + i)), a.cols, packed.data() + std::size_t(i) * stride);
            }
        });
        return {packed.data(), static_cast<std::ptrdiff_t>(stride), shared ? gather : nullptr, first};
    }
}

// Addresses of the inputs of a strip.
template <class P>
struct strip_input {
    const typename P::input* row[strip_limit];

    strip_input(const strip& s, const input_rows<P>& inputs) {
        for (index_t i = 0; i < s.rows; ++i) row[i] = inputs.row(s.first + i);
    }
};

// Rows that go through a panel together: their inputs stay in cache, and their addresses in the processor's address
// translation, beside the slice they are multiplied with.
inline constexpr index_t rows_at_once = 48;

// Lines of one chain of additions: longer sums are sums of such partial sums, which costs little and keeps the rounding
// error of float near that of the longest chain. So many lines of a panel stay in the first cache while tile after tile
// uses them.
inline constexpr index_t fold = 128;

// c [rows][width] = or += (inputs of a from line `first` on) * b [lines], of which `columns` columns exist.
template <class P>
void multiply_slice(const typename P::input* const* a, index_t rows, index_t first, const typename P::weight* b,
                    index_t lines, typename P::scalar* c, bool add, const upcoming& next, index_t columns = P::width) {
    constexpr index_t high = narrow_tile_rows<P>;
    const auto elements = [&](index_t row) { return row_elements<typename P::input>{a + row, first}; };
    const auto sums = [&](index_t row) { return c + std::ptrdiff_t(row) * P::width; };
    index_t narrow = 0;  // tiles
    if constexpr (high > 0) {
        if (columns <= P::width - P::vector::size) narrow = rows / high;
    }
    const index_t rest = narrow * high;
    read_ahead_shares ahead(next, narrow + ceil_divide(rows - rest, P::tile_rows), lines);
    if constexpr (high > 0) {
        for (index_t row = 0; row < rest; row += high) {
            multiply_tile<P, high, 1>(elements(row), b, lines, sums(row), add, ahead.next(), columns);
        }
    }
    for_tiles(rows - rest, P::tile_rows, [&](index_t row, index_t count, index_t, index_t) {
        multiply_rows<P>(count, elements(rest + row), b, lines, sums(rest + row), add, ahead.next(), columns);
    });
}

}  // namespace detail

MOE_END
