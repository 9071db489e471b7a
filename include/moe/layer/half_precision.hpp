// layer/half_precision: x and y of bfloat16 or float16 at the border of a layer
// SPDX-License-Identifier: Apache-2.0
//
// x is widened, which is exact, and y rounded once, behind everything else: the layer computes what it computes for the
// widened x, bit for bit. Copies lie in scratch: T (D + Dout) elements of the layer's scalar at most.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/adapt.hpp"
#include "moe/core/float16.hpp"

MOE_BEGIN

// Every element of `from`, converted to U; both in the backend's memory.
template <class B, class T, class U>
void convert(B& b, matrix_view<T> from, matrix_view<U> to) {
    detail::require_shape("the converted matrix", to, from.rows, from.cols);
    kernels_of<B>::for_rows(b, from.rows, [=] MOE_ROW(index_t t) {
        for (index_t j = 0; j < from.cols; ++j) to(t, j) = U(from(t, j));
    });
}

namespace detail {

// The element type of a view, a matrix or a contiguous range; void of anything else.
template <class X>
struct element {
    using type = void;
};
template <class X>
    requires requires(X& x) { *x.data; }
struct element<X> {
    using type = std::remove_cvref_t<decltype(*std::declval<X&>().data)>;
};
template <class X>
    requires requires(X& x) { *x.data(); }
struct element<X> {
    using type = std::remove_cvref_t<decltype(*std::declval<X&>().data())>;
};
template <class X>
using element_t = typename element<std::remove_reference_t<X>>::type;
template <class X>
inline constexpr bool holds_half = is_half<element_t<X>>;

// What the caller passed as x, in the layer's scalar: itself, or a widened copy in scratch.
template <class T, class B, class X>
matrix_view<const T> widened(B& b, const X& x, index_t cols) {
    if constexpr (holds_half<X>) {
        using half = element_t<X>;
        const matrix_view<const half> narrow = as_matrix<const half>(x, cols, "x");
        const matrix_view<T> wide = b.scratch().template take<T>(narrow.rows, narrow.cols);
        convert(b, narrow, wide);
        return wide;
    } else {
        return as_matrix<const T>(x, cols, "x");
    }
}

// f(y) with a y of the layer's scalar: the caller's, or one in scratch that is rounded into the caller's.
template <class T, class B, class Y, class F>
void rounded(B& b, Y&& y, index_t cols, const F& f) {
    if constexpr (holds_half<Y>) {
        using half = element_t<Y>;
        const matrix_view<half> narrow = as_matrix<half>(y, cols, "y");
        const matrix_view<T> wide = b.scratch().template take<T>(narrow.rows, narrow.cols);
        f(wide);
        convert(b, wide, narrow);
    } else {
        f(as_matrix<T>(y, cols, "y"));
    }
}

}  // namespace detail

MOE_END
