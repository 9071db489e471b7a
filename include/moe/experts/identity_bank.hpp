// experts: rows of x [R,D] -> the same rows, experts that hand their token on
// SPDX-License-Identifier: Apache-2.0
//
//     row = x[token]
//
// Source: LongCat-Flash 2025 (zero-computation experts), MoE++ 2024 (copy experts). Beside other experts:
// moe::banks{swiglu, identity_bank}.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

struct identity_bank_options {
    index_t features = 0;  // D
    index_t experts = 0;   // E
};

template <class T>
class identity_bank {
public:
    using role = experts_part;
    using scalar = T;

    identity_bank(identity_bank_options o) : options_(o) {
        detail::require_positive("identity_bank.features", o.features);
        detail::require_positive("identity_bank.experts", o.experts);
    }

    index_t features() const { return options_.features; }
    index_t experts() const { return options_.experts; }

    template <class B>
    void forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        kernels_of<B>::for_rows(b, plan.rows(), [rows, x = s.in().x, token = plan.token, first = plan.first_row()](
                                                    index_t i) {
            const T* from = x.row(token[std::size_t(first + i)]);
            std::copy(from, from + rows.cols, rows.row(first + i));
        });
    }

    template <class B>
    void backward(B& b, const routing<T>&, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d) const {
        kernels_of<B>::weighted_sum(b, plan, d_rows, {}, d.x, true);
    }

private:
    identity_bank_options options_;
};

MOE_END
