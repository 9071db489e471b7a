// backend/cpu: products with quantised weights: integers inside a group, floats between groups
// SPDX-License-Identifier: Apache-2.0
//
// The rule is that of core/quantized_panels.hpp; the integer sums run on an engine of int_dot.hpp. Rows are rounded once
// a call and kept as words:
//
//     quads of activations, filled up with zeros to whole lines    [lines][quads of a line][words of a quad]
//     a number of every group, as sums start                       (what the engine takes from codes - zero) * sum of a
//     with zero points: the sum of a of every group, as a float    [blocks]
//     the scale of the row, as a float
//
// A tile holds integer sums of a group in registers, as many as there are; floats of what is done beside them in tiles of
// few rows, else in the sums' memory, which costs less than half as many integers at a time would. Slices are whole
// groups. A scale for whole rows has one group for all slices, so there the integers themselves wait in that memory.
#pragma once

#include "moe/backend/cpu/f16.hpp"
#include "moe/backend/cpu/int_dot.hpp"
#include "moe/backend/cpu/strips.hpp"
#include "moe/core/quantized_panels.hpp"

MOE_BEGIN

namespace detail {

template <class Format, class Engine = int_dot>
struct quantized_product {
    using format = Format;
    using engine = Engine;
    using scalar = float;
    using vector = simd_vector<float>;
    using weight = unsigned char;
    using input = std::uint32_t;
    static constexpr index_t together = Format::together;
    static constexpr index_t quads = together / 4;
    static constexpr index_t width = 64;
    static constexpr index_t tile_rows = vector_registers == 32 ? 6 : 4;
    static constexpr bool packs = true;
    static constexpr std::size_t block = 64;
    static constexpr const char* name = Engine::name;

    static constexpr index_t block_lines(index_t lines) {
        return Format::group == whole_rows ? std::max(lines, index_t{1}) : Format::group / together;
    }
    static constexpr index_t blocks(index_t lines) { return ceil_divide(lines, block_lines(lines)); }
    static constexpr index_t row_words(index_t lines) {
        return lines * quads * Engine::words + blocks(lines) * (Format::zero_points ? 2 : 1) + 1;
    }

    // Vectors of outputs that a tile takes at a time: sums of a group, quads of weights, an element of a row.
    static constexpr index_t vectors(index_t rows) {
        index_t v = width / vector::size;
        while (v > 1 && rows * v + (v < 4 ? v : 4) * Engine::registers + Engine::registers > vector_registers) v /= 2;
        return v;
    }
    // Whether there are registers for floats beside them.
    static constexpr bool keeps_floats(index_t rows) {
        return 2 * rows * vectors(rows) + (vectors(rows) + 1) * Engine::registers <= vector_registers;
    }

    static void pack(const float* from, index_t count, input* to);
};

// The scale of a row, as activation_scale has it.
inline float vector_activation_scale(const float* x, index_t count) {
    using V = simd_vector<float>;
    uint_words most{};
    for (index_t k = 0; k < count; k += V::size) {
        const V v = k + V::size <= count ? V::load(x + k) : V::load_partial(x + k, count - k);
        const uint_words magnitude = (uint_words)v.registers() & 0x7fffffffu;
        const uint_words larger = (uint_words)((int_words)magnitude > (int_words)most);
        most = (magnitude & larger) | (most & ~larger);
    }
    std::uint32_t largest = 0;
    for (index_t i = 0; i < V::size; ++i) largest = std::max(largest, most[i]);
    // The bits of magnitudes are in the order of their values, infinity and NaN last.
    if (largest >= 0x7f800000u) return std::numeric_limits<float>::quiet_NaN();
    float magnitude;
    std::memcpy(&magnitude, &largest, sizeof(magnitude));
    return magnitude / 127.0f;
}

// to = the codes of a vector's worth of activations under a scale above 0, as activation_code has them.
MOE_INLINE void activation_codes(simd_vector<float> x, float scale, std::int8_t* to) {
    using V = simd_vector<float>;
    using codes = std::int8_t __attribute__((vector_size(sizeof(uint_words) / 4)));
    const V limited = simd_math::max(simd_math::min(x / V(scale), V(127.0f)), V(-127.0f));
    // The sum has the nearest integer in its low bits.
    constexpr float shift = 12582912.0f;  // 1.5 * 2^23
    const int_words shifted = (int_words)(limited + V(shift)).registers();
    const codes c = __builtin_convertvector(shifted - 0x4b400000, codes);
    std::memcpy(to, &c, sizeof(c));
}

template <class Format, class Engine>
void quantized_product<Format, Engine>::pack(const float* from, index_t count, input* to) {
    constexpr index_t most = 64, piece = most / together * together;
    const index_t lines = ceil_divide(count, together);
    const index_t number = blocks(lines);
    const index_t in_block = block_lines(lines) * together;
    input* const start = to + lines * quads * Engine::words;
    const float scale = vector_activation_scale(from, count);
    for (index_t b = 0; b < number; ++b) {
        std::int32_t sum = 0;
        const index_t end = std::min((b + 1) * in_block, count);
        for (index_t k = b * in_block; k < end; k += piece) {
            alignas(64) std::int8_t code[most] = {};
            const index_t here = std::min(piece, end - k);
            for (index_t i = 0; i < here && scale > 0; i += vector::size) {
                const index_t left = here - i;
                const float* x = from + k + i;
                activation_codes(left >= vector::size ? vector::load(x) : vector::load_partial(x, left), scale, code + i);
            }
            for (index_t i = 0; i < most; ++i) sum += code[i];
            for (index_t i = 0; i < ceil_divide(here, together) * quads; ++i) {
                Engine::pack(code + 4 * i, to + ((k / 4) + i) * Engine::words);
            }
        }
        const int zero = Format::zero_points ? 0 : Format::zero;
        const std::int32_t first = (Engine::template less<Format::bits> - zero) * sum;
        std::memcpy(start + b, &first, sizeof(first));
        const float total = static_cast<float>(sum);
        if (Format::zero_points) std::memcpy(start + number + b, &total, sizeof(total));
    }
    std::memcpy(to + row_words(lines) - 1, &scale, sizeof(scale));
}

// A slice of a panel: lines [first, first + lines) of `all`, at b.
struct quantized_slice {
    const unsigned char* b;
    index_t first;
    index_t lines;
    index_t all;
};

template <class Format>
MOE_INLINE simd_vector<float> load_scales(const unsigned char* p) {
    using V = simd_vector<float>;
    if constexpr (std::is_same_v<typename Format::scale, float>) {
        return V::load_aligned(reinterpret_cast<const float*>(p));
    } else {
        return widened_f16::load(reinterpret_cast<const float16*>(p));
    }
}

// c += the slice's part of the product, in floats; or where whole rows share a scale, in integers until the last slice.
template <class P, index_t rows>
MOE_INLINE void multiply_quantized_tile(const typename P::input* const* a, const quantized_slice& s, float* c,
                                        const read_ahead& share) {
    using V = typename P::vector;
    using E = typename P::engine;
    using F = typename P::format;
    using W = quantized_panels<F>;
    constexpr index_t vectors = P::vectors(rows);
    constexpr bool whole = F::group == whole_rows;
    constexpr bool kept = !whole && P::keeps_floats(rows);
    constexpr std::ptrdiff_t line_words = P::quads * E::words;
    constexpr index_t scale_size = sizeof(typename F::scale);
    const index_t block = P::block_lines(s.all);
    const index_t numbers = P::blocks(s.all);
    const index_t last = s.first + s.lines;
    const bool starts = s.first == 0;
    const bool ends = last == s.all;
    // Copies, which no store of a sum can change.
    const typename P::input* row[std::size_t{rows}];
    const typename P::input* start[std::size_t{rows}];
    unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
        row[i] = a[i];
        start[i] = a[i] + s.all * line_words;
    });
    paced_read_ahead<is_alone(rows, P::tile_rows)> ahead(share, P::width / (vectors * V::size));
    for (index_t column = 0; column < P::width; column += vectors * V::size) {
        const auto each = [&](const auto& f) MOE_INLINE_LAMBDA {
            unroll<rows>([&](auto i)
                             MOE_INLINE_LAMBDA { unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { f(i, j); }); });
        };
        const auto place = [&](index_t i, index_t j) MOE_INLINE_LAMBDA { return c + i * P::width + column + j * V::size; };
        V sum[std::size_t{kept ? rows : 1}][std::size_t{vectors}];
        if constexpr (kept) {
            each([&](auto i, auto j) MOE_INLINE_LAMBDA { sum[i][j] = starts ? V(0) : V::load_aligned(place(i, j)); });
        }
        const unsigned char* b = s.b + 4 * column;
        for (index_t d = s.first; d < last;) {
            const index_t number = d / block;
            const index_t end = std::min((number + 1) * block, last);
            typename E::ints group[std::size_t{rows}][std::size_t{vectors}];
            each([&](auto i, auto j) MOE_INLINE_LAMBDA {
                group[i][j] = whole && !starts ? E::load_ints(place(i, j)) : E::start(start[i] + number);
            });
            do {
                ahead.advance();
                unroll<P::quads>([&](auto q) MOE_INLINE_LAMBDA {
                    typename E::quads w[std::size_t{vectors}];
                    unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                        const uint_words bytes = E::load_bytes(b + j * 4 * V::size);
                        w[j] = E::template make<F::bits>(E::template narrow<F, int(q)>(bytes));
                    });
                    unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                        const typename E::element x = E::broadcast(row[i] + d * line_words + q * E::words);
                        unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { group[i][j] = E::add(x, w[j], group[i][j]); });
                    });
                });
                b += W::line_bytes;
            } while (++d < end);
            if (whole && !ends) {
                each([&](auto i, auto j) MOE_INLINE_LAMBDA { E::store_ints(group[i][j], place(i, j)); });
                break;
            }
            const unsigned char* scales = b - 4 * column + column * scale_size;
            const bool first = whole || number == 0;
            unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                const unsigned char* at = scales + j * V::size * scale_size;
                const V scale = load_scales<F>(at);
                V minus_zero;
                if constexpr (F::zero_points) minus_zero = -load_scales<F>(at + P::width * scale_size);
                unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                    V products = E::to_float(group[i][j]);
                    if constexpr (F::zero_points) {
                        float inputs;
                        std::memcpy(&inputs, start[i] + numbers + number, sizeof(inputs));
                        products = fma(minus_zero, V(inputs), products);
                    }
                    if constexpr (kept) {
                        sum[i][j] = fma(scale, products, sum[i][j]);
                    } else {
                        const V before = first ? V(0) : V::load_aligned(place(i, j));
                        fma(scale, products, before).store_aligned(place(i, j));
                    }
                });
            });
            b += W::scale_bytes;
        }
        if constexpr (kept) each([&](auto i, auto j) MOE_INLINE_LAMBDA { sum[i][j].store_aligned(place(i, j)); });
    }
}

template <class P, index_t most = P::tile_rows>
void multiply_quantized_rows(index_t rows, const typename P::input* const* a, const quantized_slice& s, float* c,
                             const read_ahead& ahead) {
    if constexpr (most > 1) {
        if (rows < most) return multiply_quantized_rows<P, most - 1>(rows, a, s, c, ahead);
    }
    multiply_quantized_tile<P, most>(a, s, c, ahead);
}

template <class Format, class Engine>
inline constexpr bool is_quantized_product<quantized_product<Format, Engine>> = true;

// acc [rows][width] = inputs of a times one panel, without the rows' scales; reads ahead in the panel, then at `next`.
template <class P>
void multiply_quantized_panel(const typename P::input* const* a, index_t rows, index_t lines,
                              const typename P::weight* panel, typename P::scalar* acc,
                              const typename P::weight* next) {
    using W = quantized_panels<typename P::format>;
    constexpr index_t slice = 128;  // lines, of whole groups
    const auto bytes_of = [&](index_t first, index_t count) {
        return std::size_t(count) * W::line_bytes +
               std::size_t(ceil_divide(first + count, P::block_lines(lines)) - first / P::block_lines(lines)) *
                   W::scale_bytes;
    };
    if (lines == 0) std::fill_n(acc, std::ptrdiff_t(rows) * P::width, 0.0f);
    for_tiles(rows, rows_at_once, [&](index_t first, index_t count, index_t block, index_t blocks) {
        const unsigned char* b = panel;
        for (index_t k = 0; k < lines; k += slice) {
            const index_t here = std::min(slice, lines - k);
            const index_t after = std::min(slice, lines - k - here);
            // The scales of whole rows follow the last slice.
            const bool scaled = P::format::group != whole_rows || after == 0;
            const unsigned char* following = b + (scaled ? bytes_of(k, here) : std::size_t(here) * W::line_bytes);
            const unsigned char* then = block + 1 < blocks ? panel : next;
            const unsigned char* ahead = after > 0 ? following : then;
            const std::size_t bytes = after > 0 ? bytes_of(k + here, after) : bytes_of(0, std::min(slice, lines));
            read_ahead_shares shares({ahead, ahead == nullptr ? 0 : bytes}, ceil_divide(count, P::tile_rows), here);
            for_tiles(count, P::tile_rows, [&](index_t row, index_t tile, index_t, index_t) {
                multiply_quantized_rows<P>(tile, a + first + row, {b, k, here, lines},
                                           acc + std::ptrdiff_t(first + row) * P::width, shares.next());
            });
            b = following;
        }
    });
}

// acc times the rows' own scales
template <class P>
void scale_rows(const typename P::input* const* a, index_t rows, index_t lines, typename P::scalar* acc) {
    using V = typename P::vector;
    for (index_t i = 0; i < rows && lines > 0; ++i) {
        float scale;
        std::memcpy(&scale, a[i] + P::row_words(lines) - 1, sizeof(scale));
        for (index_t j = 0; j < P::width; j += V::size) {
            float* at = acc + std::ptrdiff_t(i) * P::width + j;
            (V(scale) * V::load_aligned(at)).store_aligned(at);
        }
    }
}

// acc [rows][width] = inputs of a times one panel, all of whose columns are computed; reads ahead in the panel, then at
// `next`.
template <class P>
    requires(is_quantized_product<P> && !is_tiled<P>)
void multiply_panel(const typename P::input* const* a, index_t rows, index_t lines, const typename P::weight* panel,
                    typename P::scalar* acc, const typename P::weight* next, typename P::scalar* = nullptr,
                    index_t = P::width) {
    multiply_quantized_panel<P>(a, rows, lines, panel, acc, next);
    scale_rows<P>(a, rows, lines, acc);
}

template <class Format>
struct product_for<float, quantized_panels<Format>> {
    using type = quantized_product<Format>;
};

}  // namespace detail

MOE_END
