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

// Unrolls the loop that follows. Templates would do the same, but every round of theirs takes a compiler as long again.
#if defined(__clang__)
#define MOE_UNROLL _Pragma("clang loop unroll_count(4)")
#else
#define MOE_UNROLL _Pragma("GCC unroll 4")
#endif

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

// A tile's share of it.
struct read_ahead {
    std::uintptr_t first = 0;
    std::size_t bytes = 0;
    std::size_t step = 0;  // bytes for each step of the tile's depth
};

// Asks for a share while a tile passes all its depth `passes` times. A step that asks for several cache lines takes them
// from places far apart: several streams at a time have more of the memory's banks at work than one, which gives a fifth
// more bytes a second. A tile that is alone with its slice asks for it in the first cache, and every other step for the
// second halves of the streams: twice as many.
template <bool alone = false>
class paced_read_ahead {
public:
    // With nothing to ask for it asks for what is in the cache, which costs less than a test in every step.
    paced_read_ahead(const read_ahead& share, index_t passes)
        : next_(share.bytes > 0 ? share.first : reinterpret_cast<std::uintptr_t>(&share)),
          step_(share.step / static_cast<std::size_t>(passes)),
          two_steps_(2 * step_) {
        constexpr std::size_t line = storage_alignment;
        if (step_ <= line) return;
        const std::size_t streams = (step_ + line - 1) / line;
        stream_ = (share.bytes / streams + line - 1) / line * line;
        end_ = streams * stream_;
        step_ /= streams;
        if constexpr (alone) {
            two_steps_ = step_;
            step_ = stream_ / 2;
        }
    }
    MOE_INLINE void advance() {
        ask(next_);
        for (std::uintptr_t i = stream_; i < end_; i += stream_) ask(next_ + i);
        next_ += step_;
        if constexpr (alone) step_ = two_steps_ - step_;
    }
    // The same where a step asks for a line at most.
    bool asks_for_a_line() const { return end_ == stream_; }
    MOE_INLINE void advance_a_line() {
        ask(next_);
        next_ += step_;
    }

private:
    MOE_INLINE static void ask(std::uintptr_t at) {
        __builtin_prefetch(reinterpret_cast<const void*>(at), 0, alone ? 3 : 2);
    }

    std::uintptr_t next_;
    std::size_t step_, two_steps_;      // bytes that a stream moves on; a step back counts modulo 2^64
    std::size_t stream_ = 0, end_ = 0;  // bytes of a stream, and of all
};

// Whether a tile of so few rows is the only one: two have more, in for_tiles.
constexpr bool is_alone(index_t rows, index_t most) { return rows < (most + 1) / 2; }

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
        const read_ahead ahead{piece_ + share_ * static_cast<std::size_t>(tile_), share_, step_};
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

// At least the first `columns` columns.
template <class P, index_t rows, index_t vectors = tile_vectors<P>(rows), class A>
inline void multiply_tile(const A& elements, const typename P::weight* b, index_t depth, typename P::scalar* c,
                          bool add, const read_ahead& share, index_t columns = P::width) {
    using V = typename P::vector;
    paced_read_ahead<is_alone(rows, P::tile_rows)> ahead(share, P::width / (vectors * V::size));
    for (index_t column = 0; column < columns; column += vectors * V::size) {
        V sum[std::size_t{rows}][std::size_t{vectors}];
        unroll<rows>([&](auto i)
                         MOE_INLINE_LAMBDA { unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = V(0); }); });
        auto a = elements.template bind<rows>();
        const typename P::weight* line = b + column * P::together;
        const auto step = [&](index_t d) MOE_INLINE_LAMBDA {
            typename P::weights weight[std::size_t{vectors}];
            unroll<vectors>([&](auto j)
                                MOE_INLINE_LAMBDA { weight[j] = P::load(line + j * V::size * P::together); });
            unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                const typename P::element x = P::broadcast(a.at(i, d));
                unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { sum[i][j] = P::add(x, weight[j], sum[i][j]); });
            });
            line += P::width * P::together;
            a.advance();
        };
        index_t d = 0;
        if constexpr (P::unrolled && rows > P::tile_rows - 2) {
            if (ahead.asks_for_a_line()) {
                MOE_UNROLL
                for (; d < depth; ++d) {
                    ahead.advance_a_line();
                    step(d);
                }
            }
        }
        for (; d < depth; ++d) {
            ahead.advance();
            step(d);
        }
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
                   bool add, const read_ahead& ahead, index_t columns = P::width) {
    if constexpr (most > 1) {
        if (rows < most) return multiply_rows<P, most - 1>(rows, a, b, depth, c, add, ahead, columns);
    }
    multiply_tile<P, most>(a, b, depth, c, add, ahead, columns);
}

// Rows of a tile of one vector for panels that lack columns, where other tiles take a whole line at a time; else 0.
template <class P>
inline constexpr index_t narrow_tile_rows =
    tile_vectors<P>(P::tile_rows) * P::vector::size == P::width ? 2 * P::tile_rows : 0;

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
