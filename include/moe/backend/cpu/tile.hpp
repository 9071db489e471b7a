// backend/cpu: the register tile, the one inner loop of all matrix products
// SPDX-License-Identifier: Apache-2.0
//
//     c[i][j] = or += sum over d of a(i, d) * b[d][j]        i < rows, j < panel width, d < depth
//
// b has lines of one panel, 256 bytes, c rows of one panel; both aligned. What a product of a line with an input is says
// a type P (product.hpp). Every element of c is one chain of fused multiply-adds in ascending d, whatever the number of
// rows and however columns and rows are cut into tiles: that is why results depend neither on the number of threads nor
// on the neighbours of a row. Depth is cut by the callers, always at the same places.
#pragma once

#include "moe/backend/cpu/product.hpp"

MOE_BEGIN

namespace detail {

// Rows of a tile. Compilers for ARM keep the elements of a of all rows in registers, so a sixth row would not fit.
#if defined(__aarch64__)
inline constexpr index_t tile_rows = 5;
#else
inline constexpr index_t tile_rows = 6;
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr index_t vector_registers = 32;
#else
inline constexpr index_t vector_registers = 16;
#endif

inline index_t ceil_divide(index_t a, index_t b) { return (a + b - 1) / b; }

// Vectors of a row that a tile of `rows` rows takes at a time: as many accumulators as fit beside one line of b and one
// element of a.
template <class P>
constexpr index_t tile_vectors(index_t rows) {
    index_t v = P::width / P::vector::size;
    while (v > 1 && rows * v + (v < 4 ? v : 4) * P::registers + 1 > vector_registers) v /= 2;
    return v;
}

// Memory that will be read soon: some pieces of equal size, equally far apart. Half of a tile's time would go into
// waiting for weights otherwise, for a processor's own look-ahead is too short.
struct upcoming {
    const void* first = nullptr;
    std::size_t bytes = 0;  // of a piece
    std::size_t stride = 0;
    index_t pieces = 1;
};

// A tile's share of it: every step of depth asks for the line at `next` and moves on by `step` bytes.
struct read_ahead {
    std::uintptr_t next = 0;
    std::uintptr_t step = 0;

    read_ahead() = default;
    read_ahead(const upcoming& u, index_t tile, index_t tiles, index_t depth) {
        const auto size = [](index_t i) { return static_cast<std::size_t>(i); };
        const index_t piece = tile * u.pieces / tiles;
        const index_t begin = ceil_divide(piece * tiles, u.pieces);
        const index_t end = std::max(ceil_divide((piece + 1) * tiles, u.pieces), begin + 1);
        const std::size_t share = u.bytes / size(end - begin);
        next = reinterpret_cast<std::uintptr_t>(u.first) + size(piece) * u.stride + share * size(tile - begin);
        step = std::min(share / size(depth), storage_alignment);
    }

    MOE_INLINE void advance() {
        __builtin_prefetch(reinterpret_cast<const void*>(next), 0, 2);
        next += step;
    }
};

// a(i, d) where every row is contiguous in d and stands anywhere: rows of activations.
template <class X>
struct row_elements {
    const X* const* row;
    index_t first;

    template <index_t rows>
    struct bound {
        const X* row[std::size_t{rows}];
        MOE_INLINE const X* at(index_t i, index_t d) const { return row[i] + d; }
        MOE_INLINE void advance() {}
    };
    template <index_t rows>
    MOE_INLINE bound<rows> bind() const {
        bound<rows> b;
        unroll<rows>([&](auto i) MOE_INLINE_LAMBDA { b.row[i] = row[i] + first; });
        return b;
    }
};

// a(i, d) where neighbours in i are neighbours in memory: the transpose of packed rows.
template <class T>
struct column_elements {
    const T* first;
    std::ptrdiff_t stride;

    template <index_t rows>
    struct bound {
        const T* p;
        std::ptrdiff_t stride;
        MOE_INLINE const T* at(index_t i, index_t) const { return p + i; }
        MOE_INLINE void advance() { p += stride; }
    };
    template <index_t rows>
    MOE_INLINE bound<rows> bind() const {
        return {first, stride};
    }
};

template <class P, index_t rows, class A>
inline void multiply_tile(const A& elements, const typename P::weight* b, index_t depth, typename P::scalar* c,
                          bool add, read_ahead ahead) {
    using V = typename P::vector;
    constexpr index_t vectors = tile_vectors<P>(rows);
    for (index_t column = 0; column < P::width; column += vectors * V::size) {
        V sum[std::size_t{rows}][std::size_t{vectors}];
        unroll<rows>([&](auto i)
                         MOE_INLINE_LAMBDA { unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = V(0); }); });
        auto a = elements.template bind<rows>();
        const typename P::weight* line = b + column * P::together;
        for (index_t d = 0; d < depth; ++d) {
            ahead.advance();
            typename P::weights weight[std::size_t{vectors}];
            unroll<vectors>([&](auto j)
                                MOE_INLINE_LAMBDA { weight[j] = P::load(line + j * V::size * P::together); });
            unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                const typename P::element x = P::broadcast(a.at(i, d));
                unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = P::add(x, weight[j], sum[i][j]); });
            });
            line += P::width * P::together;
            a.advance();
        }
        unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
            unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                typename P::scalar* out = c + i * P::width + column + j * V::size;
                (add ? V::load_aligned(out) + sum[i][j] : sum[i][j]).store_aligned(out);
            });
        });
    }
}

template <class P, class A>
void multiply_rows(index_t rows, const A& a, const typename P::weight* b, index_t depth, typename P::scalar* c,
                   bool add, const read_ahead& ahead) {
    switch (rows) {
        case 1: return multiply_tile<P, 1>(a, b, depth, c, add, ahead);
        case 2: return multiply_tile<P, 2>(a, b, depth, c, add, ahead);
        case 3: return multiply_tile<P, 3>(a, b, depth, c, add, ahead);
        case 4: return multiply_tile<P, 4>(a, b, depth, c, add, ahead);
        case 5: return multiply_tile<P, 5>(a, b, depth, c, add, ahead);
        default: return multiply_tile<P, tile_rows>(a, b, depth, c, add, ahead);
    }
}

// Cuts `rows` into tiles whose sizes differ by at most one: 32 = 6 6 5 5 5 5. f(first, rows, tile, tiles)
template <class F>
void for_tiles(index_t rows, const F& f) {
    const index_t tiles = ceil_divide(rows, tile_rows);
    index_t first = 0;
    for (index_t t = 0; t < tiles; ++t) {
        const index_t count = rows / tiles + (t < rows % tiles ? 1 : 0);
        f(first, count, t, tiles);
        first += count;
    }
}

}  // namespace detail

MOE_END
