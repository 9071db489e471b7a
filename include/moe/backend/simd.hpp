// backend/simd: one vector type per scalar, and the functions an activation may call on it
// SPDX-License-Identifier: Apache-2.0
//
// The only file that names xsimd. `simd_vector<T>` is the widest register the translation unit is compiled for; `fma`
// is one instruction wherever the instruction set has one (SSE and AVX without FMA: a product and a sum), written so
// that no compiler has anything to contract. `simd_math` has the names of core/math.hpp's scalar_math, with the same
// treatment of NaN: min(a,b) is b < a ? b : a, max(a,b) is a < b ? b : a, and an unordered comparison is false.
//
// load and store take any address; load_aligned and store_aligned want a multiple of the register's size, which moe's
// own storage gives. Partial ones touch `count` >= 1 elements and no byte more; missing elements read as 0.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "moe/core/config.hpp"

// g++ 12 takes the undefined operands inside its own AVX-512 intrinsics for uninitialised variables of their callers.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <xsimd/xsimd.hpp>

// Kernels are built from small functions and lambdas that must vanish at every optimisation level.
#define MOE_INLINE inline __attribute__((always_inline))
#define MOE_INLINE_LAMBDA __attribute__((always_inline))
#define MOE_NOINLINE __attribute__((noinline))

MOE_BEGIN

template <class T>
inline constexpr bool has_simd = std::is_same_v<T, float> || std::is_same_v<T, double>;

namespace detail {

// f(0), f(1), ... f(N-1), the argument a constant.
template <index_t N, class F>
MOE_INLINE void unroll(const F& f) {
    [&]<index_t... i>(std::integer_sequence<index_t, i...>) MOE_INLINE_LAMBDA {
        (f(std::integral_constant<index_t, i>{}), ...);
    }(std::make_integer_sequence<index_t, N>{});
}

// x * y + z for instruction sets that do not fuse.
template <class V>
MOE_INLINE V fused(V x, V y, V z) {
    return z + x * y;
}
#if defined(__AVX512F__)
MOE_INLINE __m512 fused(__m512 x, __m512 y, __m512 z) { return _mm512_fmadd_ps(x, y, z); }
MOE_INLINE __m512d fused(__m512d x, __m512d y, __m512d z) { return _mm512_fmadd_pd(x, y, z); }
#endif
#if defined(__AVX__) && defined(__FMA__)
MOE_INLINE __m256 fused(__m256 x, __m256 y, __m256 z) { return _mm256_fmadd_ps(x, y, z); }
MOE_INLINE __m256d fused(__m256d x, __m256d y, __m256d z) { return _mm256_fmadd_pd(x, y, z); }
#endif
#if defined(__aarch64__) && defined(__ARM_NEON)
MOE_INLINE float32x4_t fused(float32x4_t x, float32x4_t y, float32x4_t z) { return vfmaq_f32(z, x, y); }
MOE_INLINE float64x2_t fused(float64x2_t x, float64x2_t y, float64x2_t z) { return vfmaq_f64(z, x, y); }
#endif

}  // namespace detail

template <class T>
class simd_vector {
    static_assert(has_simd<T>, "moe::simd_vector: float or double");
    using batch_type = xsimd::batch<T>;
    using register_type = typename batch_type::register_type;

public:
    static constexpr index_t size = static_cast<index_t>(batch_type::size);

    simd_vector() = default;
    // Every element, rounded to T.
    template <class S>
        requires std::is_arithmetic_v<S>
    MOE_INLINE simd_vector(S value) : v_(static_cast<T>(value)) {}
    MOE_INLINE explicit simd_vector(batch_type v) : v_(v) {}

    MOE_INLINE static simd_vector load(const T* p) { return simd_vector(batch_type::load_unaligned(p)); }
    MOE_INLINE static simd_vector load_aligned(const T* p) { return simd_vector(batch_type::load_aligned(p)); }
    MOE_INLINE static simd_vector load_partial(const T* p, index_t count) {
        alignas(64) T whole[std::size_t{size}] = {};
        std::memcpy(whole, p, static_cast<std::size_t>(count) * sizeof(T));
        return load_aligned(whole);
    }
    MOE_INLINE void store(T* p) const { v_.store_unaligned(p); }
    MOE_INLINE void store_aligned(T* p) const { v_.store_aligned(p); }
    MOE_INLINE void store_partial(T* p, index_t count) const {
        alignas(64) T whole[std::size_t{size}];
        store_aligned(whole);
        std::memcpy(p, whole, static_cast<std::size_t>(count) * sizeof(T));
    }

    MOE_INLINE friend simd_vector operator+(simd_vector a, simd_vector b) { return simd_vector(a.v_ + b.v_); }
    MOE_INLINE friend simd_vector operator-(simd_vector a, simd_vector b) { return simd_vector(a.v_ - b.v_); }
    MOE_INLINE friend simd_vector operator*(simd_vector a, simd_vector b) { return simd_vector(a.v_ * b.v_); }
    MOE_INLINE friend simd_vector operator/(simd_vector a, simd_vector b) { return simd_vector(a.v_ / b.v_); }
    MOE_INLINE friend simd_vector operator-(simd_vector a) { return simd_vector(-a.v_); }

    // x * y + z
    MOE_INLINE friend simd_vector fma(simd_vector x, simd_vector y, simd_vector z) {
        return simd_vector(batch_type(detail::fused(register_type(x.v_), register_type(y.v_), register_type(z.v_))));
    }

    MOE_INLINE friend T reduce_add(simd_vector a) {
#if XSIMD_VERSION_MAJOR < 9
        return xsimd::hadd(a.v_);
#else
        return xsimd::reduce_add(a.v_);
#endif
    }

    batch_type native() const { return v_; }
    register_type registers() const { return v_; }
    // The same bits as another register's.
    template <class R>
    MOE_INLINE static simd_vector from_bits(R r) {
        static_assert(sizeof(R) == sizeof(register_type));
        return simd_vector(batch_type((register_type)r));
    }

private:
    batch_type v_;
};

struct simd_math {
    template <class T>
    static simd_vector<T> exp(simd_vector<T> v) {
        return simd_vector<T>(xsimd::exp(v.native()));
    }
    template <class T>
    static simd_vector<T> tanh(simd_vector<T> v) {
        return simd_vector<T>(xsimd::tanh(v.native()));
    }
    template <class T>
    static simd_vector<T> erf(simd_vector<T> v) {
        return simd_vector<T>(xsimd::erf(v.native()));
    }
    template <class T>
    static simd_vector<T> min(simd_vector<T> a, simd_vector<T> b) {
        return if_less(b, a, b, a);
    }
    template <class T>
    static simd_vector<T> max(simd_vector<T> a, simd_vector<T> b) {
        return if_less(a, b, b, a);
    }
    // a < b ? yes : no
    template <class T>
    static simd_vector<T> if_less(simd_vector<T> a, simd_vector<T> b, simd_vector<T> yes, simd_vector<T> no) {
        return simd_vector<T>(xsimd::select(a.native() < b.native(), yes.native(), no.native()));
    }
};

namespace detail {

// One stage of a transposition: swaps the odd blocks of `half` elements of `a` with the even ones of `b`.
template <index_t half, class R, index_t... j>
MOE_INLINE void exchange(R& a, R& b, std::integer_sequence<index_t, j...>) {
    constexpr index_t n = static_cast<index_t>(sizeof...(j));
    const R low = __builtin_shufflevector(a, b, ((j & half) != 0 ? n + (j ^ half) : j)...);
    const R high = __builtin_shufflevector(a, b, ((j & half) != 0 ? n + j : (j ^ half))...);
    a = low;
    b = high;
}

// Of squares that stand side by side, as many as registers are longer than `count`.
template <index_t half, class R, std::size_t count>
MOE_INLINE void transpose_registers(R (&r)[count]) {
    constexpr index_t n = index_t{count};
    constexpr index_t elements = static_cast<index_t>(sizeof(R) / sizeof(r[0][0]));
    unroll<n>([&](auto i) MOE_INLINE_LAMBDA {
        if constexpr ((i & half) == 0) {
            exchange<half>(r[i], r[i + half], std::make_integer_sequence<index_t, elements>{});
        }
    });
    if constexpr (2 * half < n) transpose_registers<2 * half>(r);
}

// to[j][i] = from[i][j] for a square of simd_vector<T>::size elements a side; `to` is aligned.
template <class T>
MOE_INLINE void transpose_square(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride) {
    using V = simd_vector<T>;
    constexpr index_t n = V::size;
    decltype(std::declval<V>().registers()) r[std::size_t{n}];
    unroll<n>([&](auto i) MOE_INLINE_LAMBDA { r[i] = V::load(from + i * from_stride).registers(); });
    transpose_registers<1>(r);
    unroll<n>([&](auto i) MOE_INLINE_LAMBDA { V(xsimd::batch<T>(r[i])).store_aligned(to + i * to_stride); });
}

}  // namespace detail

MOE_END

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
