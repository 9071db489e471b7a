// backend/cpu: products with quantised weights on AMX, the matrix unit of some x86-64 processors
// SPDX-License-Identifier: Apache-2.0
//
// tdpbsud multiplies 16 rows of 64 activations of 8 bits with 64 codes of 16 outputs and adds to 16 x 16 integers; panels
// hold quads of codes as its tiles want them. Sums of a group are exact and meet floats in the order of quantized.hpp,
// so results have the same bits, and which rows run here is a matter of speed. Codes of fewer than 8 bits are widened to
// bytes, a slice of a panel at a time, once for all rows of a strip.
#pragma once

#include "moe/backend/cpu/amx.hpp"
#include "moe/backend/cpu/quantized.hpp"

MOE_BEGIN

namespace detail {

#if MOE_TILES

template <class Format>
struct tiled_quantized : quantized_product<Format> {
    using base = quantized_product<Format>;
    static constexpr const char* name = "8 bits, tdpbsud on tiles for many rows, vpdpbusd for few";
    static constexpr index_t spare_rows = tile_registers::rows - 1;
    static constexpr index_t rows_worth_tiles = base::quads > 1 ? 24 : 9;  // fewer are faster on vectors
    static constexpr index_t slice_inputs = 1024;
    // Of a slice as bytes.
    static constexpr std::size_t unpacked_size =
        base::quads > 1 ? std::size_t(slice_inputs * base::width) / sizeof(float) : 0;
};

template <class Format>
inline constexpr bool is_quantized_product<tiled_quantized<Format>> = true;
template <class Format>
inline constexpr bool is_tiled<tiled_quantized<Format>> = true;
template <class Format>
struct tiled_product_for<quantized_product<Format>> {
    using type = tiled_quantized<Format>;
};

// One panel for the rows of a strip.
template <class P>
class quantized_tiles {
    using F = typename P::format;
    using W = quantized_panels<F>;
    using E = typename P::engine;
    using V = typename P::vector;
    static constexpr bool whole = F::group == whole_rows;
    static constexpr index_t step_inputs = F::group == 32 ? 32 : 64;  // of one instruction
    static constexpr index_t step_quads = step_inputs / 4;
    static constexpr index_t slice = P::slice_inputs / P::together;  // lines, whole groups
    static constexpr index_t half = 32;                               // outputs, two tiles
    static constexpr std::ptrdiff_t line = W::line_bytes;
    static constexpr std::ptrdiff_t sums_stride = P::width * std::ptrdiff_t{sizeof(float)};

    using integers = std::int32_t[2 * tile_registers::rows][std::size_t{half}];

public:
    quantized_tiles(const typename P::input* const* a, index_t rows, index_t lines, const unsigned char* panel,
                    float* acc, const unsigned char* next, float* unpacked)
        : x_(reinterpret_cast<const char*>(a[0])),
          stride_(rows > 1 ? reinterpret_cast<const char*>(a[1]) - x_ : 0),
          rows_(rows),
          lines_(lines),
          block_(P::block_lines(lines)),
          panel_(panel),
          next_(next),
          acc_(acc),
          unpacked_(reinterpret_cast<unsigned char*>(unpacked)) {}

    // At least the columns that exist.
    void multiply(index_t columns) {
        const tile_registers registers(step_inputs);
        const index_t tiles = ceil_divide(rows_, tile_registers::rows);
        for (index_t k = 0; k < lines_; k += slice) {
            const index_t here = std::min(slice, lines_ - k);
            const piece p = prepare(k, here);
            read_ahead_shares shares(ahead(k, here), ceil_divide(tiles, 2) * ceil_divide(columns, half),
                                     ceil_divide(here * P::quads, step_quads));
            for (index_t t = 0; t < tiles; t += 2) {
                const index_t row = t * tile_registers::rows;
                for (index_t column = 0; column < columns; column += half) {
                    if (t + 1 < tiles) multiply_part<2>(p, row, column, shares.next());
                    else multiply_part<1>(p, row, column, shares.next());
                }
            }
        }
    }

private:
    // A slice: its codes as bytes, group after group.
    struct piece {
        index_t first, lines;
        const unsigned char* stored;  // as in the panel
        const unsigned char* codes;
        std::ptrdiff_t group_bytes;  // from one group of `codes` to the next
    };

    std::size_t bytes_of(index_t first, index_t count) const {
        const index_t scales = whole ? 0 : ceil_divide(first + count, block_) - first / block_;
        return std::size_t(count) * W::line_bytes + std::size_t(scales) * W::scale_bytes;
    }
    upcoming ahead(index_t k, index_t here) const {
        const index_t after = std::min(slice, lines_ - k - here);
        if (after > 0) return {panel_ + bytes_of(0, k + here), bytes_of(k + here, after)};
        return {next_, next_ == nullptr ? 0 : bytes_of(0, std::min(slice, lines_))};
    }

    // Widens the slice if its codes are narrow. The last step of a panel is filled up with zeros, for what follows is not
    // this panel's.
    piece prepare(index_t k, index_t here) {
        const unsigned char* from = panel_ + bytes_of(0, k);
        piece p{k, here, from, from, std::ptrdiff_t(bytes_of(0, block_))};
        if constexpr (P::quads > 1) {
            p.codes = unpacked_;
            p.group_bytes = std::ptrdiff_t(block_) * P::quads * line;
            unsigned char* to = unpacked_;
            for (index_t d = 0; d < here; ++d) {
                const unsigned char* bytes = from + d * line;
                if (!whole) bytes += d / block_ * std::ptrdiff_t(W::scale_bytes);
                for (index_t j = 0; j < line; j += std::ptrdiff_t(register_bytes)) {
                    const uint_words v = E::load_bytes(bytes + j);
                    unroll<P::quads>([&](auto q) MOE_INLINE_LAMBDA {
                        const uint_words narrow = E::template narrow<F, int(q)>(v);
                        std::memcpy(to + q * line + j, &narrow, sizeof(narrow));
                    });
                }
                to += P::quads * line;
            }
        }
        const index_t last = k + here == lines_ ? lines_ % block_ * P::quads : 0;
        rest_ = (whole ? here * P::quads : last) % step_quads;
        if (rest_ > 0) {
            const index_t group = whole ? 0 : here / block_;
            const index_t before = (whole ? here * P::quads : last) - rest_;
            std::memset(rest_codes_, 0, sizeof(rest_codes_));
            std::memcpy(rest_codes_, p.codes + group * p.group_bytes + before * line, std::size_t(rest_ * line));
        }
        __asm__ volatile("" ::: "memory");  // as in tile_registers
        return p;
    }

    template <index_t tiles>
    void multiply_part(const piece& p, index_t row, index_t column, const read_ahead& share) {
        paced_read_ahead<> ahead(share, asks_of_a_step);
        const char* x = x_ + row * stride_ + p.first * P::together;
        float* acc = acc_ + std::ptrdiff_t(row) * P::width + column;
        const index_t rows = std::min(rows_ - row, tiles * tile_registers::rows);
        if constexpr (whole) {
            if (p.first == 0) zero<tiles>();
            else load<tiles>(acc, sums_stride);
            add_group<tiles>(x, p.codes, column, p.lines, ahead);
            if (p.first + p.lines < lines_) return store<tiles>(acc, sums_stride);
            store<tiles>(sums_[0], sizeof(sums_[0][0]));
            add_scaled(sums_[0], rows, row, column, 0, p.stored + p.lines * line, acc);
        } else {
            // A group's sums become floats while the next one is multiplied.
            const index_t groups = ceil_divide(p.lines, block_);
            const unsigned char* scales = nullptr;
            const index_t first = p.first / block_;
            for (index_t g = 0; g < groups; ++g) {
                const index_t here = std::min(block_, p.lines - g * block_);
                zero<tiles>();
                add_group<tiles>(x + g * F::group, p.codes + g * p.group_bytes, column, here, ahead);
                if (g > 0) add_scaled(sums_[(g - 1) % 2], rows, row, column, first + g - 1, scales, acc);
                store<tiles>(sums_[g % 2], sizeof(sums_[0][0]));
                scales = p.stored + bytes_of(0, g * block_) + here * line;
            }
            add_scaled(sums_[(groups - 1) % 2], rows, row, column, first + groups - 1, scales, acc);
        }
    }

    // Tiles 0 to 3 += inputs x times `lines` lines of codes; only the last ones of a panel are no whole steps.
    template <index_t tiles>
    MOE_INLINE void add_group(const char* x, const unsigned char* codes, index_t column, index_t lines,
                              paced_read_ahead<>& ahead) {
        const unsigned char* b = codes + 4 * column;
        for (index_t s = lines * P::quads / step_quads; s > 0; --s) {
            add_step<tiles>(x, b, ahead);
            x += step_inputs;
            b += step_quads * line;
        }
        if (lines * P::quads % step_quads > 0) add_step<tiles>(x, rest_codes_ + 4 * column, ahead);
    }
    template <index_t tiles>
    MOE_INLINE void add_step(const char* x, const unsigned char* b, paced_read_ahead<>& ahead) {
        _tile_loadd(6, b, line);
        _tile_loadd(4, x, stride_);
        _tile_loadd(7, b + 64, line);
        if constexpr (tiles == 2) _tile_loadd(5, x + tile_registers::rows * stride_, stride_);
        for (index_t i = 0; i < asks_of_a_step; ++i) ahead.advance();
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 4, 7);
        if constexpr (tiles == 2) {
            _tile_dpbsud(2, 5, 6);
            _tile_dpbsud(3, 5, 7);
        }
    }

    // acc [rows][half] = or += the scaled sums of a group.
    MOE_INLINE void add_scaled(const integers& sums, index_t rows, index_t row, index_t column, index_t group,
                               const unsigned char* scales, float* acc) const {
        constexpr index_t vectors = half / V::size;
        constexpr index_t scale_size = sizeof(typename F::scale);
        const index_t groups = P::blocks(lines_);
        V scale[std::size_t{vectors}], zero[std::size_t{vectors}];
        unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
            const unsigned char* at = scales + (column + j * V::size) * scale_size;
            scale[j] = load_scales<F>(at);
            if constexpr (F::zero_points) zero[j] = load_scales<F>(at + P::width * scale_size);
        });
        const char* numbers = x_ + row * stride_ + (std::ptrdiff_t(lines_) * P::quads * E::words + group) * 4;
        for (index_t i = 0; i < rows; ++i, numbers += stride_) {
            const typename E::ints start = E::start(reinterpret_cast<const std::uint32_t*>(numbers));
            float inputs = 0;
            if constexpr (F::zero_points) std::memcpy(&inputs, numbers + std::ptrdiff_t(groups) * 4, sizeof(inputs));
            unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                uint_words sum;
                std::memcpy(&sum, &sums[i][j * V::size], sizeof(sum));
                V products = E::to_float(sum + start);
                if constexpr (F::zero_points) products = fma(-zero[j], V(inputs), products);
                float* at = acc + std::ptrdiff_t(i) * P::width + j * V::size;
                fma(scale[j], products, group > 0 ? V::load_aligned(at) : V(0)).store_aligned(at);
            });
        }
    }

    template <index_t tiles>
    MOE_INLINE static void zero() {
        _tile_zero(0);
        _tile_zero(1);
        if constexpr (tiles == 2) {
            _tile_zero(2);
            _tile_zero(3);
        }
    }
    template <index_t tiles>
    MOE_INLINE static void load(const void* from, std::ptrdiff_t stride) {
        const char* p = static_cast<const char*>(from);
        _tile_loadd(0, p, stride);
        _tile_loadd(1, p + 64, stride);
        if constexpr (tiles == 2) {
            _tile_loadd(2, p + tile_registers::rows * stride, stride);
            _tile_loadd(3, p + tile_registers::rows * stride + 64, stride);
        }
    }
    template <index_t tiles>
    MOE_INLINE static void store(void* to, std::ptrdiff_t stride) {
        char* p = static_cast<char*>(to);
        _tile_stored(0, p, stride);
        _tile_stored(1, p + 64, stride);
        if constexpr (tiles == 2) {
            _tile_stored(2, p + tile_registers::rows * stride, stride);
            _tile_stored(3, p + tile_registers::rows * stride + 64, stride);
        }
    }

    const char* x_;
    std::ptrdiff_t stride_;
    index_t rows_, lines_, block_;
    const unsigned char* panel_;
    const unsigned char* next_;
    float* acc_;
    unsigned char* unpacked_;
    index_t rest_ = 0;
    alignas(64) unsigned char rest_codes_[std::size_t{step_quads * line}];
    alignas(64) integers sums_[2];
};

// acc [rows, rounded up to whole tiles][width] = inputs of a times one panel; reads ahead in the panel, then at `next`.
template <class P>
    requires(is_quantized_product<P> && is_tiled<P>)
void multiply_panel(const typename P::input* const* a, index_t rows, index_t lines, const typename P::weight* panel,
                    typename P::scalar* acc, const typename P::weight* next, typename P::scalar* unpacked,
                    index_t columns = P::width) {
    if (rows < P::rows_worth_tiles || lines == 0) multiply_quantized_panel<P>(a, rows, lines, panel, acc, next);
    else quantized_tiles<P>(a, rows, lines, panel, acc, next, unpacked).multiply(columns);
    scale_rows<P>(a, rows, lines, acc);
}

#endif

}  // namespace detail

MOE_END
