// backend/cpu: what the register tile does with a line of weights and an input, for every format of weights
// SPDX-License-Identifier: Apache-2.0
//
// A product P has a `name` and names the scalar and the vector of its sums, the `weight` a panel holds, `together` of
// them for a column in a line, the `input` that a row holds for a line, the most rows of a tile, whether its loop is
// `unrolled`, and
//
//     weights load(const weight*)               the next vector::size columns of a line, in `registers` registers
//     element broadcast(const input*)           one input, for all columns
//     vector  add(element, weights, sum)        sum + their product
//     void    pack(const scalar*, count, input*)   where `packs`: a row as inputs, filled up with zeros to whole
//                                               blocks of `block` bytes
//
// product_of<T, W> is the product of rows of T with weights W; a format that has none runs on the reference's loops.
#pragma once

#include "moe/backend/simd.hpp"
#include "moe/core/panels.hpp"

MOE_BEGIN

namespace detail {

// Rows of a tile for weights that are used as they lie in memory. Compilers for ARM keep the elements of a of all rows
// in registers, so a sixth row would not fit.
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

// Weights of the same scalar: one fused multiply-add.
template <class T>
struct plain_product {
    using scalar = T;
    using vector = simd_vector<T>;
    using weight = T;
    using weights = vector;
    using input = T;
    using element = vector;
    static constexpr index_t together = 1;
    static constexpr index_t width = panels<T>::width;
    static constexpr index_t registers = 1;
    static constexpr index_t tile_rows = detail::tile_rows;
    // On AVX-512 the loop's own instructions are a tenth of all, which counts where two threads share a core: 4 to 8 % of
    // the time of many rows. Sixteen registers are too few for longer rounds.
#if defined(__AVX512F__)
    static constexpr bool unrolled = std::is_same_v<T, float>;
#else
    static constexpr bool unrolled = false;
#endif
    static constexpr bool packs = false;
    static constexpr const char* name =
        std::is_same_v<T, float> ? "float vectors, multiply-add" : "double vectors, multiply-add";

    MOE_INLINE static weights load(const T* p) { return vector::load_aligned(p); }
    MOE_INLINE static element broadcast(const T* x) { return vector(*x); }
    MOE_INLINE static vector add(element x, weights w, vector sum) { return fma(x, w, sum); }
};

// The bits of a vector of floats.
using float_words = std::uint32_t __attribute__((vector_size(4 * simd_vector<float>::size)));

struct no_product {};

template <class T, class W>
struct product_for {
    using type = no_product;
};
template <class T>
    requires has_simd<T>
struct product_for<T, panels<T>> {
    using type = plain_product<T>;
};

template <class T, class W>
using product_of = typename product_for<T, W>::type;

// The product that takes over from P where the backend uses_tiles().
template <class P>
struct tiled_product_for {
    using type = void;
};
template <class P>
using tiled_product = typename tiled_product_for<P>::type;
template <class P>
inline constexpr bool has_tiled_product = !std::is_void_v<tiled_product<P>>;
template <class P>
inline constexpr bool is_tiled = false;
template <class P>
inline constexpr bool is_quantized_product = false;

template <class B>
bool uses_tiles(const B& b) {
    if constexpr (requires { b.uses_tiles(); }) return b.uses_tiles();
    else return false;
}

template <class T, class W>
inline constexpr bool has_product = !std::is_same_v<product_of<T, W>, no_product>;

}  // namespace detail

MOE_END
