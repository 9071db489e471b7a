// core/adapt: users' matrices become views without a copy, or a compile error that names the cure
// SPDX-License-Identifier: Apache-2.0
//
// as_matrix<T>(x, cols, name) accepts a matrix_view, a moe::matrix, a contiguous range (vector, span, array) of rows * cols
// elements, and every type for which `matrix_source` is specialised (Eigen, in backend/eigen.hpp).
#pragma once


#include <concepts>

#include "moe/core/storage.hpp"

MOE_BEGIN

// How a foreign matrix type is seen: specialise with `static matrix_view<T> view(X&)`.
template <class X>
struct matrix_source;

// A view of rows * cols elements at p; sizes too large for index_t throw.
template <class T>
matrix_view<T> view_of(T* p, std::size_t rows, std::size_t cols) {
    return {p, checked_index(rows, "rows"), checked_index(cols, "columns")};
}

namespace detail {

template <class X>
concept has_matrix_source = requires(X& x) { matrix_source<std::remove_const_t<X>>::view(x); };

template <class T, class X>
concept flat_range = requires(X& x) {
    { x.data() } -> std::convertible_to<T*>;
    x.size();
};

template <class>
inline constexpr bool never = false;

}  // namespace detail

template <class T, class X>
matrix_view<T> as_matrix(X&& x, index_t cols, const char* name) {
    using plain = std::remove_reference_t<X>;
    if constexpr (std::is_convertible_v<plain&, matrix_view<T>>) {
        return x;
    } else if constexpr (detail::has_matrix_source<plain>) {
        const auto view = matrix_source<std::remove_const_t<plain>>::view(x);
        constexpr bool fits = std::is_convertible_v<decltype(view), matrix_view<T>>;
        static_assert(fits || std::is_const_v<T>,
                      "moe: this matrix has another scalar type than the layer, or is const where the result goes");
        static_assert(fits || !std::is_const_v<T>, "moe: this matrix has another scalar type than the layer");
        if constexpr (fits) return view;
        else return {};
    } else if constexpr (detail::flat_range<T, plain>) {
        const index_t size = checked_index(x.size() / static_cast<std::size_t>(cols > 0 ? cols : 1), name);
        if (cols <= 0 || x.size() % static_cast<std::size_t>(cols) != 0) {
            throw_shape(name, std::string("a multiple of ") + std::to_string(cols) + " elements", std::to_string(x.size()));
        }
        return {x.data(), size, cols};
    } else {
        static_assert(detail::never<X>,
                      "moe: this is no row-major matrix of the layer's scalar; pass a moe::matrix_view, a moe::matrix, a "
                      "contiguous range, or a row-major Eigen matrix, Map, Ref or block (evaluate expressions first)");
    }
}

MOE_END
