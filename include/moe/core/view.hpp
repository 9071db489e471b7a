// core/view: non-owning row-major matrices, the type in which every tensor crosses an interface
// SPDX-License-Identifier: Apache-2.0
//
// A matrix_view<T> is pointer, rows, columns and the distance between rows in elements; columns are contiguous. Views are
// trivially copyable and pass by value; constness of the elements is in T. They check nothing: checks happen once, where
// a call enters the library.
#pragma once

#include <span>
#include <type_traits>

#include "moe/core/error.hpp"

MOE_BEGIN

template <class T>
struct matrix_view {
    T* data = nullptr;
    index_t rows = 0;
    index_t cols = 0;
    std::ptrdiff_t stride = 0;  // elements from one row to the next

    constexpr matrix_view() = default;
    constexpr matrix_view(T* data_, index_t rows_, index_t cols_) : matrix_view(data_, rows_, cols_, cols_) {}
    constexpr matrix_view(T* data_, index_t rows_, index_t cols_, std::ptrdiff_t stride_)
        : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

    template <class U>
        requires(std::is_same_v<T, const U> && !std::is_const_v<U>)
    constexpr matrix_view(const matrix_view<U>& other)
        : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

    MOE_FN constexpr T* row(index_t i) const { return data + i * stride; }
    MOE_FN constexpr T& operator()(index_t i, index_t j) const { return data[i * stride + j]; }
    constexpr std::span<T> operator[](index_t i) const { return {row(i), static_cast<std::size_t>(cols)}; }
    constexpr bool empty() const { return rows == 0 || cols == 0; }

    // Rows [first, first + count).
    constexpr matrix_view middle_rows(index_t first, index_t count) const {
        return {data + first * stride, count, cols, stride};
    }
};

// Read-only arguments whose element type follows from another argument, so that {} and non-const views convert.
template <class T>
using input_view = std::type_identity_t<matrix_view<const T>>;
template <class T>
using input_span = std::type_identity_t<std::span<const T>>;

namespace detail {

template <class T>
std::string shape_text(matrix_view<T> m) {
    return shape_text(static_cast<std::size_t>(m.rows), static_cast<std::size_t>(m.cols));
}

template <class T>
void require_shape(const char* name, matrix_view<T> m, index_t rows, index_t cols) {
    if (m.rows == rows && m.cols == cols && (m.stride >= cols || rows <= 1)) return;
    if (m.rows == rows && m.cols == cols) {
        throw_shape(std::string(name) + " row stride", std::string("at least ") + std::to_string(cols), std::to_string(m.stride));
    }
    throw_shape(name, shape_text(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols)), shape_text(m));
}

template <class T>
void require_size(const char* name, std::span<T> s, std::size_t size) {
    if (s.size() != size) throw_shape(name, std::string("[") + std::to_string(size) + "]", std::string("[") + std::to_string(s.size()) + "]");
}

// One past the last element in memory.
template <class T>
const void* end_of(matrix_view<T> m) {
    return m.empty() ? m.data : m.row(m.rows - 1) + m.cols;
}

template <class T, class U>
void require_disjoint(const char* first, matrix_view<T> a, const char* second, matrix_view<U> b) {
    if (a.empty() || b.empty()) return;
    const auto address = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
    if (address(a.data) >= address(end_of(b)) || address(b.data) >= address(end_of(a))) return;
    throw_value(std::string(first) + " and " + second, "memory that does not overlap", "overlapping memory");
}

}  // namespace detail

MOE_END
