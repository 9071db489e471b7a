// backend/cpu: products of bfloat16 on AMX, the matrix unit of some x86-64 processors
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. tdpbf16ps multiplies 16 rows of 32 inputs with 32 inputs of 16 outputs and adds to 16 x
// 16 sums; a panel holds pairs of inputs as its tiles want them, so weights are loaded as they lie. An output is
//
//     sum = sum + (e + o)      for 32 inputs after 32 inputs, from sum = 0
//     e, o                     chains of fused multiply-adds from 0 over the 16 even and the 16 odd ones
//
// whatever the number of rows. A few rows add in the same order on vectors, which wait for memory better; more fill
// tiles, whose last rows may be no rows and give sums that nobody uses. Denormal numbers count as zeros. The system must
// grant the registers to the process (Linux does on request); without, products run as in bf16.hpp.
#pragma once

#include "moe/backend/cpu/bf16.hpp"
#include "moe/backend/cpu/strips.hpp"

#if MOE_TILES
#include <sys/syscall.h>
#include <unistd.h>
#endif

MOE_BEGIN

namespace detail {

#if MOE_TILES
// Asks for tiles, on behalf of the whole process; the answer does not change.
inline bool tiles_granted() {
    constexpr long request_permission = 0x1023, tile_data = 18;
    return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// The tiles of this thread, as long as it lives. Other threads, and the system when it switches between them, have
// nothing to do with registers that are released.
class tile_registers {
public:
    static constexpr index_t rows = 16;

    // Inputs of 64 bytes of a row at a time; or of fewer, in tiles 4 and 5, with as many weights less in 6 and 7.
    explicit tile_registers(index_t input_bytes = 64) {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shapes;
        shapes.row_bytes[4] = shapes.row_bytes[5] = static_cast<std::uint16_t>(input_bytes);
        shapes.rows[6] = shapes.rows[7] = static_cast<std::uint8_t>(input_bytes / 4);
        static_assert(sizeof(shapes) == 64);
        // g++'s loads of tiles do not tell the compiler that they read memory.
        __asm__ volatile("" ::: "memory");
        _tile_loadconfig(&shapes);
    }
    ~tile_registers() { _tile_release(); }
    tile_registers(const tile_registers&) = delete;
    tile_registers& operator=(const tile_registers&) = delete;
};

struct tiled_bf16 : dot_bf16 {
    static constexpr index_t tile_rows = 32;
    static constexpr index_t rows_of_steps = 4;     // that vectors take at a time
    static constexpr index_t rows_worth_tiles = 5;  // fewer run on vectors
    static constexpr index_t spare_rows = 15;  // of any content, behind the last one, so that its tile is whole
    static constexpr index_t step_lines = 16;    // of a panel, that one instruction takes
    static constexpr index_t slice_lines = 512;  // whose weights stay in the first caches for all rows
    static constexpr const char* name = "bfloat16 tiles, tdpbf16ps";
};

template <>
inline constexpr bool is_tiled<tiled_bf16> = true;
template <>
struct tiled_product_for<bf16_product> {
    using type = tiled_bf16;
};

// Rows of inputs that stand equally far apart.
struct tile_rows_of_inputs {
    const char* first;
    std::ptrdiff_t stride;  // bytes
};

inline constexpr std::ptrdiff_t panel_line_bytes = 256;
// A step of tiles is long and asks for many lines: not for each from a place of its own.
inline constexpr index_t asks_of_a_step = 4;

// c [32][64] = or += inputs of two tiles of rows times half a panel at b, `steps` times 32 inputs.
inline void multiply_tiles_2x2(const tile_rows_of_inputs& a, const char* b, index_t steps, float* c, bool add,
                               const read_ahead& share) {
    constexpr std::ptrdiff_t stride = panel_line_bytes;
    paced_read_ahead<> ahead(share, asks_of_a_step);
    float* const below = c + 16 * panels<float>::width;
    if (add) {
        _tile_loadd(0, c, stride);
        _tile_loadd(1, c + 16, stride);
        _tile_loadd(2, below, stride);
        _tile_loadd(3, below + 16, stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const char* x = a.first;
    const char* const lower = a.first + 16 * a.stride;
    const std::ptrdiff_t offset = lower - x;
    for (index_t s = 0; s < steps; ++s) {
        _tile_loadd(4, x, a.stride);
        _tile_loadd(6, b, stride);
        _tile_loadd(5, x + offset, a.stride);
        _tile_loadd(7, b + 64, stride);
        for (index_t i = 0; i < asks_of_a_step; ++i) ahead.advance();
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
        x += 64;
        b += 16 * stride;
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    _tile_stored(2, below, stride);
    _tile_stored(3, below + 16, stride);
}

// c [16][64] = or += inputs of a tile of rows times a panel at b.
inline void multiply_tiles_1x4(const tile_rows_of_inputs& a, const char* b, index_t steps, float* c, bool add,
                               const read_ahead& share) {
    constexpr std::ptrdiff_t stride = panel_line_bytes;
    paced_read_ahead<> ahead(share, asks_of_a_step);
    if (add) {
        _tile_loadd(0, c, stride);
        _tile_loadd(1, c + 16, stride);
        _tile_loadd(2, c + 32, stride);
        _tile_loadd(3, c + 48, stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const char* x = a.first;
    for (index_t s = 0; s < steps; ++s) {
        _tile_loadd(4, x, a.stride);
        _tile_loadd(5, b, stride);
        _tile_loadd(6, b + 64, stride);
        _tile_loadd(7, b + 128, stride);
        for (index_t i = 0; i < asks_of_a_step; ++i) ahead.advance();
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(5, b + 192, stride);
        _tile_dpbf16ps(1, 4, 6);
        _tile_dpbf16ps(2, 4, 7);
        _tile_dpbf16ps(3, 4, 5);
        x += 64;
        b += 16 * stride;
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    _tile_stored(2, c + 32, stride);
    _tile_stored(3, c + 48, stride);
}

// acc [rows, rounded up to whole tiles][width] = or += `steps` times 32 inputs of a times the lines at b, at least in the
// columns that exist.
inline void multiply_tile_slice(const tile_rows_of_inputs& a, index_t rows, const char* b, index_t steps, float* acc,
                                bool add, const upcoming& next, index_t columns) {
    const index_t tiles = ceil_divide(rows, tile_registers::rows);
    const bool half = columns <= tiled_bf16::width / 2;
    read_ahead_shares shares(next, half ? ceil_divide(tiles, index_t{2}) : tiles, steps);
    for (index_t t = 0; t < tiles; t += 2) {
        const tile_rows_of_inputs here{a.first + t * 16 * a.stride, a.stride};
        float* c = acc + std::ptrdiff_t(t) * 16 * panels<float>::width;
        if (t + 1 < tiles) {
            multiply_tiles_2x2(here, b, steps, c, add, shares.next());
            if (!half) multiply_tiles_2x2(here, b + 128, steps, c + 32, add, shares.next());
        } else {
            multiply_tiles_1x4(here, b, steps, c, add, shares.next());
        }
    }
}

// c [rows][width] = or += inputs of a from line `first` on times `lines` lines at b, in the order of tiles on vectors: one
// row asks more of the memory than of the processor, and tiles are slower to ask.
template <index_t rows>
MOE_NOINLINE void multiply_steps(const tiled_bf16::input* const* a, index_t first, const bfloat16* b, index_t lines,
                                 float* c, bool add, const read_ahead& share) {
    using V = simd_vector<float>;
    constexpr index_t width = tiled_bf16::width;
    constexpr index_t vectors = rows == 1 ? 4 : 2;
    paced_read_ahead<true> ahead(share, width / (vectors * V::size));
    for (index_t column = 0; column < width; column += vectors * V::size) {
        V sum[std::size_t{rows}][std::size_t{vectors}];
        const auto each = [&](const auto& f) MOE_INLINE_LAMBDA {
            unroll<rows>([&](auto i)
                             MOE_INLINE_LAMBDA { unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA { f(i, j); }); });
        };
        const auto place = [&](index_t i, index_t j) MOE_INLINE_LAMBDA { return c + i * width + column + j * V::size; };
        each([&](auto i, auto j) MOE_INLINE_LAMBDA { sum[i][j] = add ? V::load_aligned(place(i, j)) : V(0); });
        const bfloat16* line = b + column * tiled_bf16::together;
        for (index_t d = 0; d < lines;) {
            V even[std::size_t{rows}][std::size_t{vectors}], odd[std::size_t{rows}][std::size_t{vectors}];
            each([&](auto i, auto j) MOE_INLINE_LAMBDA { even[i][j] = odd[i][j] = V(0); });
            for (const index_t end = std::min(d + tiled_bf16::step_lines, lines); d < end; ++d) {
                ahead.advance();
                widened_bf16::weights w[std::size_t{vectors}];
                unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                    w[j] = widened_bf16::load(line + j * V::size * tiled_bf16::together);
                });
                unroll<rows>([&](auto i) MOE_INLINE_LAMBDA {
                    const float_words pair = float_words{} + a[i][first + d];
                    const V x_even = V::from_bits(pair << 16), x_odd = V::from_bits(pair & 0xffff0000u);
                    unroll<vectors>([&](auto j) MOE_INLINE_LAMBDA {
                        even[i][j] = fma(x_even, w[j].even, even[i][j]);
                        odd[i][j] = fma(x_odd, w[j].odd, odd[i][j]);
                    });
                });
                line += width * tiled_bf16::together;
            }
            each([&](auto i, auto j) MOE_INLINE_LAMBDA { sum[i][j] = sum[i][j] + (even[i][j] + odd[i][j]); });
        }
        each([&](auto i, auto j) MOE_INLINE_LAMBDA { sum[i][j].store_aligned(place(i, j)); });
    }
}

template <index_t most = tiled_bf16::rows_of_steps>
void multiply_steps_of(index_t rows, const tiled_bf16::input* const* a, index_t first, const bfloat16* b, index_t lines,
                       float* c, bool add, const read_ahead& ahead) {
    if constexpr (most > 1) {
        if (rows < most) return multiply_steps_of<most - 1>(rows, a, first, b, lines, c, add, ahead);
    }
    multiply_steps<most>(a, first, b, lines, c, add, ahead);
}

// Vectors take denormal numbers for zeros, as tiles do, as long as it lives.
class denormals_are_zeros {
public:
    denormals_are_zeros() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
    ~denormals_are_zeros() { _mm_setcsr(before_); }
    denormals_are_zeros(const denormals_are_zeros&) = delete;
    denormals_are_zeros& operator=(const denormals_are_zeros&) = delete;

private:
    unsigned before_;
};

// f(first line, lines, add, upcoming) for slices of lines [0, end) of a panel of `lines` lines.
template <class P, class F>
void for_slices(index_t end, index_t slice, index_t lines, const typename P::weight* panel,
                const typename P::weight* next, const F& f) {
    constexpr std::ptrdiff_t line = std::ptrdiff_t(P::width) * P::together;
    for (index_t k = 0; k < end; k += slice) {
        const index_t here = std::min(slice, end - k);
        const index_t after = std::min(slice, lines - k - here);
        const typename P::weight* ahead = after > 0 ? panel + (k + here) * line : next;
        const index_t ahead_lines = ahead == nullptr ? 0 : after > 0 ? after : std::min(slice, lines);
        f(k, here, k > 0, upcoming{ahead, std::size_t(ahead_lines) * panel_line_bytes});
    }
}

// acc [rows, rounded up to whole tiles][width] = inputs of a times one panel; reads ahead in the panel, then at `next`.
template <class P>
    requires(is_tiled<P> && !is_quantized_product<P>)
void multiply_panel(const typename P::input* const* a, index_t rows, index_t lines, const typename P::weight* panel,
                    typename P::scalar* acc, const typename P::weight* next, typename P::scalar* = nullptr,
                    index_t columns = P::width) {
    constexpr std::ptrdiff_t line = std::ptrdiff_t(P::width) * P::together;
    if (lines == 0) {
        std::fill_n(acc, std::ptrdiff_t(rows) * P::width, typename P::scalar(0));
    } else if (rows < P::rows_worth_tiles) {
        const denormals_are_zeros as_tiles_do;
        for_slices<P>(lines, fold, lines, panel, next, [&](index_t k, index_t here, bool add, const upcoming& then) {
            read_ahead_shares shares(then, ceil_divide(rows, P::rows_of_steps), here);
            for_tiles(rows, P::rows_of_steps, [&](index_t row, index_t count, index_t, index_t) {
                multiply_steps_of(count, a + row, k, panel + k * line, here, acc + std::ptrdiff_t(row) * P::width, add,
                                  shares.next());
            });
        });
    } else {
        const tile_registers tiles;
        const char* const first = reinterpret_cast<const char*>(a[0]);
        const std::ptrdiff_t stride = reinterpret_cast<const char*>(a[1]) - first;
        const auto inputs = [&](index_t k) { return tile_rows_of_inputs{first + k * 4, stride}; };
        const index_t whole = lines / P::step_lines * P::step_lines;
        for_slices<P>(whole, P::slice_lines, lines, panel, next,
                      [&](index_t k, index_t here, bool add, const upcoming& then) {
                          const char* b = reinterpret_cast<const char*>(panel + k * line);
                          multiply_tile_slice(inputs(k), rows, b, here / P::step_lines, acc, add, then, columns);
                      });
        if (whole == lines) return;
        // Nothing behind the panel is read: it may be another expert's.
        alignas(64) char rest[P::step_lines * panel_line_bytes] = {};
        std::memcpy(rest, panel + whole * line, std::size_t(lines - whole) * panel_line_bytes);
        __asm__ volatile("" ::: "memory");  // as in tile_registers
        multiply_tile_slice(inputs(whole), rows, rest, 1, acc, whole > 0, {}, columns);
    }
}

#else
inline bool tiles_granted() { return false; }
#endif

}  // namespace detail

MOE_END
