// backend/eigen: row-major Eigen matrices, Maps, Refs and blocks as views, without a copy
// SPDX-License-Identifier: Apache-2.0
//
// A column-major matrix, one whose columns are not neighbours in memory, and an expression that is not evaluated yet are
// compile errors that name the cure; an inner stride known only at run time throws if it is not 1. No Eigen type appears in
// the interface or the storage of any other header.
#pragma once

#include <Eigen/Core>

#include "moe/core/adapt.hpp"

MOE_BEGIN

namespace detail {

template <class X>
concept eigen_object = std::is_base_of_v<Eigen::EigenBase<X>, X>;

}  // namespace detail

template <class X>
    requires detail::eigen_object<X>
struct matrix_source<X> {
    static constexpr bool direct = (int(X::Flags) & int(Eigen::DirectAccessBit)) != 0;

    template <class Y>
    static auto view(Y& m) {
        static_assert(direct, "moe: this is an Eigen expression, not a matrix; call .eval() and keep the result");
        if constexpr (direct) {
            using T = std::remove_pointer_t<decltype(m.data())>;
            static_assert(bool(X::IsRowMajor) || int(X::ColsAtCompileTime) == 1,
                          "moe: this Eigen matrix is column-major; declare it with Eigen::RowMajor");
            static_assert(bool(X::IsRowMajor) || int(X::ColsAtCompileTime) != 1 || int(X::RowsAtCompileTime) == 1,
                          "moe: this Eigen vector is a column; pass its transpose, or an Eigen row vector");
            static_assert(int(X::InnerStrideAtCompileTime) == 1 || int(X::InnerStrideAtCompileTime) == Eigen::Dynamic,
                          "moe: the columns of this Eigen object are not neighbours in memory; copy it into a row-major "
                          "matrix");
            if (m.innerStride() != 1 && m.cols() > 1) {
                throw_shape("Eigen inner stride", "1", std::to_string(m.innerStride()));
            }
            return matrix_view<T>{m.data(), checked_index(std::size_t(m.rows()), "rows"),
                                  checked_index(std::size_t(m.cols()), "columns"),
                                  static_cast<std::ptrdiff_t>(m.outerStride())};
        } else {
            return matrix_view<const typename X::Scalar>{};
        }
    }
};

MOE_END
