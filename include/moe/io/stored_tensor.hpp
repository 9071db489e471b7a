// io: a tensor as it lies in a file: name, type, shape and bytes, read by rows
// SPDX-License-Identifier: Apache-2.0
//
// A tensor of any rank is seen as a matrix whose columns are its last dimension: [E,N,K] has E * N rows of K, so expert
// e is rows e * N to (e + 1) * N - 1; a vector [N] is one row, a scalar one element. Only what is read is touched and
// converted; element_codec.hpp says into what.
//
// errors        io_error naming file, tensor, wanted and got: a type that T does not take, a value that T does not
//               hold, other columns, rows behind the last
#pragma once

#include <memory>
#include <vector>

#include "moe/core/bfloat16.hpp"
#include "moe/core/view.hpp"
#include "moe/io/element_codec.hpp"

MOE_BEGIN

using stored_shape = std::vector<std::uint64_t>;

namespace detail {

inline std::string shape_text(const stored_shape& shape) {
    std::string s = "[";
    for (const std::uint64_t d : shape) s += (s.size() == 1 ? "" : ", ") + std::to_string(d);
    return s + "]";
}

inline std::uint64_t columns_of(const stored_shape& shape) { return shape.empty() ? 1 : shape.back(); }

// The shape was checked: no product of leading dimensions overflows.
inline std::uint64_t rows_of(const stored_shape& shape) {
    std::uint64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
}

// Throws unless `count` rows of `cols` columns from `first` on lie inside the shape.
inline void require_rows(const std::string& where, const stored_shape& shape, std::uint64_t first, index_t count,
                         index_t cols) {
    if (count < 0 || cols < 0 || std::uint64_t(cols) != columns_of(shape)) {
        throw io_error(wanted_got(where, std::string("rows of ") + std::to_string(columns_of(shape)) + " columns for shape " +
                                             shape_text(shape), std::to_string(cols) + " columns"));
    }
    const std::uint64_t rows = rows_of(shape);
    if (first <= rows && std::uint64_t(count) <= rows - first) return;
    throw io_error(wanted_got(where, std::string("rows below ") + std::to_string(rows) + " for shape " + shape_text(shape),
                              std::to_string(count) + " rows from " + std::to_string(first) + " on"));
}

template <class T>
std::string element_name() {
    const std::string bits = std::to_string(8 * sizeof(T));
    if constexpr (std::is_same_v<T, bfloat16>) return "bfloat16";
    return floating_element<T> ? "float" + bits : (std::is_signed_v<T> ? "int" : "uint") + bits;
}

// All elements of a tensor as one matrix with the columns that its shape has.
template <class T>
matrix_view<T> view_as(const std::string& where, const stored_shape& shape, std::span<T> out) {
    const std::uint64_t cols = columns_of(shape);
    const std::uint64_t rows = rows_of(shape);
    const bool fits = cols == 0 ? out.empty() : out.size() / cols == rows && out.size() % cols == 0;
    if (!fits) {
        throw io_error(wanted_got(where, std::string("all elements of shape ") + shape_text(shape), std::to_string(out.size())));
    }
    if (out.empty()) return {out.data(), 0, checked_index(cols, "columns")};
    return {out.data(), checked_index(rows, "rows"), checked_index(cols, "columns")};
}

}  // namespace detail

struct stored_tensor {
    std::string name;
    stored_type type = stored_type::f32;
    stored_shape shape;
    std::span<const unsigned char> bytes;     // lives as long as the file object it came from
    std::shared_ptr<const std::string> path;  // of the file, for errors

    std::uint64_t cols() const { return detail::columns_of(shape); }
    std::uint64_t rows() const { return detail::rows_of(shape); }

    // Rows [first_row, first_row + out.rows).
    template <class T>
    void read(std::uint64_t first_row, matrix_view<T> out) const {
        detail::require_rows(where(), shape, first_row, out.rows, out.cols);
        const auto decode = detail::decoder_of<T>(type);
        if (decode == nullptr) {
            throw io_error(detail::wanted_got(where(), "a type that is read into " + detail::element_name<T>(),
                                              std::string(name_of(type))));
        }
        const std::size_t width = static_cast<std::size_t>(out.cols);
        const std::size_t row_bytes = width * bits_of(type) / 8;
        for (index_t r = 0; r < out.rows; ++r) {
            const std::uint64_t row = first_row + std::uint64_t(r);
            const std::size_t done = decode(bytes.data() + std::size_t(row) * row_bytes, {out.row(r), width});
            if (done != width) refuse_value<T>(row * width + done);
        }
    }
    template <class T>
    void read(matrix_view<T> out) const {
        if (std::uint64_t(out.rows) != rows()) {
            throw io_error(detail::wanted_got(where(), std::string("all ") + std::to_string(rows()) + " rows of shape " +
                                              detail::shape_text(shape), std::to_string(out.rows)));
        }
        read(0, out);
    }
    // All elements, in row-major order.
    template <class T>
    void read(std::span<T> out) const {
        read(0, detail::view_as(where(), shape, out));
    }

    std::string where() const { return (path ? *path : std::string("bytes")) + ": tensor '" + name + "'"; }

private:
    template <class T>
    [[noreturn]] void refuse_value(std::uint64_t element) const {
        throw io_error(detail::wanted_got(where(), "values that " + detail::element_name<T>() + " holds",
                                          std::string("another in element ") + std::to_string(element)));
    }
};

MOE_END
