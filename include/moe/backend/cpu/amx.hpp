// backend/cpu: products of bfloat16 on AMX, the matrix unit of some x86-64 processors
// SPDX-License-Identifier: Apache-2.0
//
// A tile is 16 rows of 64 bytes. tdpbf16ps multiplies 16 rows of 32 inputs with 32 inputs of 16 outputs and adds to 16 x
// 16 sums; a panel holds pairs of inputs as its tiles want them, so weights are loaded as they lie. An output is
//
//     sum = sum + (e + o)      for 32 inputs after 32 inputs, from sum = 0
//     e, o                     chains of fused multiply-adds from 0 over the 16 even and the 16 odd ones
//
// whatever the number of rows: tiles are always whole. Rows that do not exist repeat or follow others, and their sums
// are not used. Denormal numbers count as zeros. The system must grant the unit's registers to the process (Linux does
// on request); without them products run as in bf16.hpp, so a process uses one of both, always.
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
// Whether this process may use tiles: asks once.
inline bool tiles_granted() {
    static const bool granted = [] {
        constexpr long request_permission = 0x1023, tile_data = 18;
        return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    }();
    return granted;
}

// The tiles of this thread, as long as it lives. Other threads, and the system when it switches between them, have
// nothing to do with registers that are released.
class tile_registers {
public:
    static constexpr index_t rows = 16;

    tile_registers() {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shapes;
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

// c [32][64] = or += inputs of two tiles of rows times half a panel at b, `steps` times 32 inputs.
inline void multiply_tiles_2x2(const tile_rows_of_inputs& a, const char* b, index_t steps, float* c, bool add,
                               read_ahead ahead) {
    constexpr std::ptrdiff_t stride = panel_line_bytes;
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
        ahead.advance();
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
                               read_ahead ahead) {
    constexpr std::ptrdiff_t stride = panel_line_bytes;
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
        ahead.advance();
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

// acc [rows, rounded up to whole tiles][width] = or += `steps` times 32 inputs, from input `first` on, times the lines at b.
inline void multiply_tile_slice(const tile_rows_of_inputs& a, index_t rows, const char* b, index_t steps, float* acc,
                                bool add, const upcoming& next) {
    const index_t tiles = ceil_divide(rows, tile_registers::rows);
    read_ahead_shares shares(next, tiles, steps);
    for (index_t t = 0; t < tiles; t += 2) {
        const tile_rows_of_inputs here{a.first + t * 16 * a.stride, a.stride};
        float* c = acc + std::ptrdiff_t(t) * 16 * panels<float>::width;
        if (t + 1 < tiles) {
            multiply_tiles_2x2(here, b, steps, c, add, shares.next());
            multiply_tiles_2x2(here, b + 128, steps, c + 32, add, shares.next());
        } else {
            multiply_tiles_1x4(here, b, steps, c, add, shares.next());
        }
    }
}

// acc [rows, rounded up to whole tiles][width] = inputs of a times one panel; reads ahead in the panel, then at `next`.
template <class P>
    requires is_tiled<P>
void multiply_panel(const typename P::input* const* a, index_t rows, index_t lines, const typename P::weight* panel,
                    typename P::scalar* acc, const typename P::weight* next, typename P::scalar* = nullptr) {
    if (lines == 0) return std::fill_n(acc, std::ptrdiff_t(rows) * P::width, typename P::scalar(0)), void();
    const tile_registers tiles;
    const std::ptrdiff_t stride = rows > 1 ? reinterpret_cast<const char*>(a[1]) - reinterpret_cast<const char*>(a[0]) : 0;
    const tile_rows_of_inputs inputs{reinterpret_cast<const char*>(a[0]), stride};
    const char* b = reinterpret_cast<const char*>(panel);
    const index_t whole = lines / P::step_lines * P::step_lines;
    for (index_t k = 0; k < whole; k += P::slice_lines) {
        const index_t here = std::min(P::slice_lines, whole - k);
        const index_t after = std::min(P::slice_lines, lines - k - here);
        const char* const from = b + k * panel_line_bytes;
        const void* const ahead = after > 0 ? from + here * panel_line_bytes : static_cast<const void*>(next);
        const index_t ahead_lines = ahead == nullptr ? 0 : after > 0 ? after : std::min(P::slice_lines, lines);
        multiply_tile_slice({inputs.first + k * 4, stride}, rows, from, here / P::step_lines, acc, k > 0,
                            {ahead, std::size_t(ahead_lines) * panel_line_bytes});
    }
    if (whole < lines) {
        // Nothing behind the panel is read: it may be another expert's.
        alignas(64) char rest[P::step_lines * panel_line_bytes] = {};
        std::memcpy(rest, b + whole * panel_line_bytes, std::size_t(lines - whole) * panel_line_bytes);
        __asm__ volatile("" ::: "memory");
        multiply_tile_slice({inputs.first + whole * 4, stride}, rows, rest, 1, acc, whole > 0, {});
    }
}

#else
inline bool tiles_granted() { return false; }
#endif

}  // namespace detail

MOE_END
