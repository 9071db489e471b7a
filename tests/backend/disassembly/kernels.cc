// Compiled, never run: check.cmake reads what became of these functions.
#include "moe/backend/cpu/bf16.hpp"
#include "moe/backend/cpu/f16.hpp"
#include "moe/backend/cpu/quantized.hpp"
#include "moe/backend/cpu/tile.hpp"

namespace {

using moe::index_t;

template <class Format>
__attribute__((always_inline)) inline void check_codes(const std::uint32_t* const* a, const unsigned char* b,
                                                       index_t lines, float* c) {
    using P = moe::detail::quantized_product<Format>;
    moe::detail::multiply_quantized_tile<P, P::tile_rows>(a, {b, 0, lines, lines}, c, {});
}

}  // namespace

extern "C" {

void check_fma_float(const float* x, const float* y, float* z) {
    using V = moe::simd_vector<float>;
    fma(V::load(x), V::load(y), V::load(z)).store(z);
}

void check_fma_double(const double* x, const double* y, double* z) {
    using V = moe::simd_vector<double>;
    fma(V::load(x), V::load(y), V::load(z)).store(z);
}

__attribute__((flatten)) void check_tile_float(const float* const* a, const float* b, moe::index_t depth, float* c) {
    moe::detail::multiply_tile<moe::detail::plain_product<float>, moe::detail::tile_rows>(
        moe::detail::row_elements<float>{a, 0}, b, depth, c, false, {});
}

__attribute__((flatten)) void check_tile_double(const double* const* a, const double* b, moe::index_t depth,
                                                double* c) {
    moe::detail::multiply_tile<moe::detail::plain_product<double>, moe::detail::tile_rows>(
        moe::detail::row_elements<double>{a, 0}, b, depth, c, false, {});
}

__attribute__((flatten)) void check_tile_bf16(const moe::detail::bf16_product::input* const* a, const moe::bfloat16* b,
                                              moe::index_t depth, float* c) {
    using input = moe::detail::bf16_product::input;
    moe::detail::multiply_tile<moe::detail::bf16_product, moe::detail::bf16_product::tile_rows>(
        moe::detail::row_elements<input>{a, 0}, b, depth, c, false, {});
}

__attribute__((flatten)) void check_tile_f16(const float* const* a, const moe::float16* b, moe::index_t depth,
                                             float* c) {
    moe::detail::multiply_tile<moe::detail::widened_f16, moe::detail::widened_f16::tile_rows>(
        moe::detail::row_elements<float>{a, 0}, b, depth, c, false, {});
}

__attribute__((flatten)) void check_tile_int8(const std::uint32_t* const* a, const unsigned char* b, index_t lines,
                                              float* c) {
    check_codes<moe::code_format<8, 32>>(a, b, lines, c);
}

__attribute__((flatten)) void check_tile_int4(const std::uint32_t* const* a, const unsigned char* b, index_t lines,
                                              float* c) {
    check_codes<moe::code_format<4, 32>>(a, b, lines, c);
}
}
