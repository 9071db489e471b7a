// backend/cpu: the register tile, the one inner loop of all matrix products
// SPDX-License-Identifier: Apache-2.0
//
//     c[i][j] = or += sum over d of a(i, d) * b[d][j]        i < rows, j < panel width, d < depth
//
// b has lines of one panel, 256 bytes, c rows of one panel; both aligned. What a product of a line with an input is,
// says a type P (product.hpp). Every element of c is one chain of fused multiply-adds in ascending d, whatever the
// number of rows and however columns and rows are cut into tiles: that is why results depend neither on the number of
// threads nor on the neighbours of a row. Depth is cut by the callers, always at the same places.
#pragma once

#include "moe/backend/cpu/product.hpp"

MOE_BEGIN

namespace detail {

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

// A tile's share of it: every round of its loop asks for the cache lines of `step` bytes at `next` and moves on by them.
struct read_ahead {
    std::uintptr_t next = 0;
    std::uintptr_t step = 0;

    // The lines that step u of a round of `steps` asks for.
    MOE_INLINE void ask(index_t u, index_t steps) const {
        const std::uintptr_t apart = static_cast<std::uintptr_t>(steps) * storage_alignment;
        for (std::uintptr_t line = static_cast<std::uintptr_t>(u) * storage_alignment; line < step; line += apart) {
            __builtin_prefetch(reinterpret_cast<const void*>(next + line), 0, 2);
        }
    }
    MOE_INLINE void advance() { next += step; }
};

// Shares for tile after tile of a slice. Several tiles share a piece; where there are more pieces than tiles, the last
// ones are left to the processor.
class read_ahead_shares {
public:
    read_ahead_shares(const upcoming& u, index_t tiles, index_t depth)
        : tiles_(std::max(tiles / u.pieces, index_t{1})),
          stride_(u.stride),
          piece_(reinterpret_cast<std::uintptr_t>(u.first)),
          share_(u.bytes / static_cast<std::size_t>(tiles_)),
          step_(share_ / static_cast<std::size_t>(depth)) {}

    read_ahead next() {
        const read_ahead ahead{piece_ + share_ * static_cast<std::size_t>(tile_), step_};
        if (++tile_ == tiles_) {
            tile_ = 0;
            piece_ += stride_;
        }
        return ahead;
    }

private:
    index_t tiles_;  // of a piece
    index_t tile_ = 0;
    std::size_t stride_;
    std::uintptr_t piece_;
    std::size_t share_;
    std::size_t step_;
};

// a(i, d) where every row is contiguous in d and stands anywhere: rows of activations.
template <class X>
struct row_elements {
    const X* const* row;
    index_t first;

    template <index_t rows>
    struct bound {
        const X* row[std::size_t{rows}];
        MOE_INLINE const X* at(index_t i, index_t d, index_t u) const { return row[i] + d + u; }
        MOE_INLINE void advance(index_t) {}
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
        MOE_INLINE const T* at(index_t i, index_t, index_t u) const { return p + u * stride + i; }
        MOE_INLINE void advance(index_t steps) { p += steps * stride; }
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
    // A round of steps asks for as many shares of a step; all depth is passed once for every `vectors` vectors.
    constexpr index_t steps = rows > P::tile_rows / 2 ? P::steps : 1;
    ahead.step = ahead.step * std::uintptr_t(steps) / std::uintptr_t(P::width / (vectors * V::size));
    for (index_t column = 0; column < P::width; column += vectors * V::size) {
        V sum[std::size_t{rows}][std::size_t{vectors}];
        unroll<rows>([&](auto i)
                         MOE_INLINE_LAMBDA { unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = V(0); }); });
        auto a = elements.template bind<rows>();
        const typename P::weight* line = b + column * P::together;
        const auto step = [&](index_t d, auto u) MOE_INLINE_LAMBDA {
            typename P::weights weight[std::size_t{vectors}];
            unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                weight[j] = P::load(line + (u * P::width + j * V::size) * P::together);
            });
            unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                const typename P::element x = P::broadcast(a.at(i, d, u));
                unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = P::add(x, weight[j], sum[i][j]); });
            });
        };
        const auto round = [&](index_t d, auto count) MOE_INLINE_LAMBDA {
            unroll<count>([&](auto u) MOE_INLINE_LAMBDA {
                ahead.ask(u, steps);
                step(d, u);
            });
            ahead.advance();
            line += count * P::width * P::together;
            a.advance(count);
        };
        index_t d = 0;
        for (; d + steps <= depth; d += steps) {
            round(d, std::integral_constant<index_t, steps>{});
        }
        for (; d < depth; ++d) round(d, std::integral_constant<index_t, 1>{});
        unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
            unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                typename P::scalar* out = c + i * P::width + column + j * V::size;
                (add ? V::load_aligned(out) + sum[i][j] : sum[i][j]).store_aligned(out);
            });
        });
    }
}

// A tile of 1 to P::tile_rows rows.
template <class P, index_t most = P::tile_rows, class A>
void multiply_rows(index_t rows, const A& a, const typename P::weight* b, index_t depth, typename P::scalar* c,
                   bool add, const read_ahead& ahead) {
    if constexpr (most > 1) {
        if (rows < most) return multiply_rows<P, most - 1>(rows, a, b, depth, c, add, ahead);
    }
    multiply_tile<P, most>(a, b, depth, c, add, ahead);
}

// Cuts `rows` into tiles of at most `most` rows whose sizes differ by at most one: 32 = 6 6 5 5 5 5.
// f(first, rows, tile, tiles)
template <class F>
void for_tiles(index_t rows, index_t most, const F& f) {
    if (rows <= 0) return;
    const index_t tiles = ceil_divide(rows, most);
    const index_t each = rows / tiles;
    const index_t larger = rows - each * tiles;
    index_t first = 0;
    for (index_t t = 0; t < tiles; ++t) {
        const index_t count = each + (t < larger ? 1 : 0);
        f(first, count, t, tiles);
        first += count;
    }
}

}  // namespace detail

MOE_END
