// backend/cpu: dA = or += dC W, the grouped product with the transposed weights
// SPDX-License-Identifier: Apache-2.0
//
// A work item is a strip and a block of inputs, as many as a panel is wide. The weights of the block are transposed,
// some panels at a time, into scratch that stays in cache, where they look like a panel of the forward product, decoded
// if they have a short format. Only existing outputs take part: the padding of panels is never read.
#pragma once

#include "moe/backend/cpu/bf16.hpp"
#include "moe/backend/cpu/f16.hpp"
#include "moe/backend/cpu/forward.hpp"
#include "moe/core/quantized_panels.hpp"

MOE_BEGIN

namespace detail {

// Two neighbouring inputs of as many outputs as a vector has floats, side by side.
MOE_INLINE float_words load_pairs(const bfloat16* from) {
    float_words pairs;
    std::memcpy(&pairs, from, sizeof(pairs));
    return pairs;
}
MOE_INLINE float_words load_pairs(const float16* from) {
    half_words even, odd;
    std::memcpy(&even, from, sizeof(even));
    std::memcpy(&odd, from + f16_panels::width, sizeof(odd));
    return words_of(even) | (words_of(odd) << 16);
}

// As many codes as a vector has floats.
MOE_INLINE simd_vector<float> widen_codes(const bfloat16* from) {
    half_words codes;
    std::memcpy(&codes, from, sizeof(codes));
    return simd_vector<float>::from_bits(words_of(codes) << 16);
}
MOE_INLINE simd_vector<float> widen_codes(const float16* from) { return widened_f16::load(from); }

// to [square][square] = neighbouring inputs and outputs of a panel, `from` the first of them.
MOE_INLINE void decode_square(const bfloat16* from, float* to) {
    constexpr index_t square = simd_vector<float>::size;
    for (index_t k = 0; k < square; k += 2, from += 2 * bf16_panels::width) {
        const widened_bf16::weights w = widened_bf16::load(from);
        w.even.store_aligned(to + k * square);
        w.odd.store_aligned(to + (k + 1) * square);
    }
}
MOE_INLINE void decode_square(const float16* from, float* to) {
    constexpr index_t square = simd_vector<float>::size;
    for (index_t k = 0; k < square; ++k) widened_f16::load(from + k * f16_panels::width).store_aligned(to + k * square);
}

// to [square][square] = the transpose of neighbouring inputs and outputs of a panel, `from` the first of them.
template <class T>
MOE_INLINE void transpose_weights_square(const T* from, T* to) {
    transpose_square(from, panels<T>::width, to, panels<T>::width);
}
template <class E>
    requires is_half<E>
MOE_INLINE void transpose_weights_square(const E* from, float* to) {
    constexpr index_t width = panels<float>::width;
    constexpr index_t square = simd_vector<float>::size;
    if constexpr (square >= 8) {
        // In pairs, with half of the registers, then decoded.
        constexpr index_t pairs = square / 2;
        float_words line[std::size_t{pairs}];
        unroll<pairs>([&](auto i) MOE_INLINE_LAMBDA { line[i] = load_pairs(from + 2 * i * width); });
        transpose_registers<1>(line);
        alignas(64) E codes[2 * std::size_t{square}];
        unroll<pairs>([&](auto i) MOE_INLINE_LAMBDA {
            std::memcpy(static_cast<void*>(codes), &line[i], sizeof(codes));
            widen_codes(codes).store_aligned(to + i * width);
            widen_codes(codes + square).store_aligned(to + (i + pairs) * width);
        });
    } else {
        // Registers of four are transposed in fewer instructions than they are widened in.
        alignas(64) float decoded[square * square];
        decode_square(from, decoded);
        transpose_square(decoded, square, to, width);
    }
}

// packed[n][k] = w(group, first_output + n, first_input + k); inputs that do not exist are zeros.
template <class T, class W>
void transpose_weights(const W& w, index_t group, index_t first_output, index_t outputs, index_t first_input,
                       index_t inputs, T* packed) {
    constexpr index_t width = W::width;
    constexpr index_t square = simd_vector<T>::size;
    const index_t whole = inputs / square * square;
    for (index_t n = 0; n < outputs; n += width) {
        const auto* from = w.panel(group, (first_output + n) / width) + std::ptrdiff_t(first_input) * width;
        T* to = packed + std::ptrdiff_t(n) * width;
        const index_t here = std::min(width, outputs - n);
        const index_t squares = ceil_divide(here, square) * square;
        for (index_t k = 0; k < whole; k += square) {
            for (index_t j = 0; j < squares; j += square) {
                transpose_weights_square(from + std::ptrdiff_t(k) * width + j * W::together,
                                         to + std::ptrdiff_t(j) * width + k);
            }
        }
        for (index_t j = 0; j < here && whole < width; ++j) {
            for (index_t k = whole; k < inputs; ++k) {
                to[j * width + k] = T(w(group, first_output + n + j, first_input + k));
            }
            std::fill(to + j * width + inputs, to + (j + 1) * width, T(0));
        }
    }
}

template <class Format>
void transpose_weights(const quantized_panels<Format>& w, index_t group, index_t first_output, index_t outputs,
                       index_t first_input, index_t inputs, float* packed) {
    constexpr index_t width = quantized_panels<Format>::width;
    constexpr index_t square = simd_vector<float>::size;
    alignas(64) float decoded[std::size_t{width * width}] = {};
    for (index_t n = 0; n < outputs; n += width) {
        w.read_inputs(group, (first_output + n) / width, first_input, inputs, decoded);
        for (index_t k = 0; k < width; k += square) {
            for (index_t j = 0; j < std::min(width, outputs - n); j += square) {
                transpose_square(decoded + k * width + j, width, packed + (n + j) * width + k, width);
            }
        }
    }
}

// c [rows][columns] = or += acc [rows][width]
template <class T>
void store_or_add(const T* acc, index_t rows, matrix_view<T> c, index_t first_row, index_t column, index_t columns,
                  bool accumulate) {
    for (index_t i = 0; i < rows; ++i) {
        const T* from = acc + std::ptrdiff_t(i) * panels<T>::width;
        T* to = c.row(first_row + i) + column;
        for (index_t j = 0; j < columns; ++j) to[j] = accumulate ? to[j] + from[j] : from[j];
    }
}

template <class B, class T, class W>
void input_gradient(B& b, const row_groups& rows, matrix_view<const T> dc, const W& w, matrix_view<T> da,
                    bool accumulate) {
    using P = plain_product<T>;
    constexpr index_t width = W::width;
    static_assert(width == P::width && (is_quantized<W> || width % W::together == 0));
    constexpr std::size_t packed_size = std::size_t(fold) * width;
    constexpr std::size_t scratch_size = packed_size + std::size_t(strip_limit) * width;
    const index_t blocks = ceil_divide(w.inputs(), width);
    const arena_frame frame(b.scratch());
    const input_rows<P> gradients = make_inputs<P>(b, {rows.offset, {}}, dc);
    const std::span<const strip> strips = make_strips(b.scratch(), rows, blocks, b.threads(), P::tile_rows);
    const std::span<T> scratch = b.scratch().template take<T>(std::size_t(b.threads()) * scratch_size);
    const index_t items = static_cast<index_t>(strips.size()) * blocks;
    const double cost = static_cast<double>(items) * width * w.outputs();
    // The weights of a block of inputs for `fold` outputs from n on.
    const auto weights = [&](index_t item, index_t n) {
        if (is_quantized<W> || item >= items || n >= w.outputs()) return upcoming{};
        const auto* first = w.panel(strips[std::size_t(item / blocks)].group, n / width) +
                            std::ptrdiff_t(item % blocks) * width * width;
        const std::size_t input_bytes = std::size_t(width) * sizeof(*first);
        const index_t pieces = ceil_divide(std::min(fold, w.outputs() - n), width);
        return upcoming{first, std::size_t(std::min(width, w.inputs() - item % blocks * width)) * input_bytes,
                        std::size_t(w.lines()) * W::together * input_bytes, pieces};
    };
    b.parallel(items, cost, [&](index_t item, index_t after, index_t worker) {
        const strip s = strips[std::size_t(item / blocks)];
        const index_t first_input = item % blocks * width;
        const index_t inputs = std::min(width, w.inputs() - first_input);
        const strip_input<P> input(s, gradients);
        T* packed = scratch.data() + std::size_t(worker) * scratch_size;
        T* sum = packed + packed_size;
        if (w.outputs() == 0) std::fill_n(sum, std::ptrdiff_t(s.rows) * width, T(0));
        for (index_t n = 0; n < w.outputs(); n += fold) {
            const index_t here = std::min(fold, w.outputs() - n);
            transpose_weights(w, s.group, n, here, first_input, inputs, packed);
            const upcoming next = n + here < w.outputs() ? weights(item, n + here) : weights(after, 0);
            multiply_slice<P>(input.row, s.rows, n, packed, here, sum, n > 0, next, inputs);
        }
        store_or_add(sum, s.rows, da, s.first, first_input, inputs, accumulate);
    });
}

}  // namespace detail

MOE_END
