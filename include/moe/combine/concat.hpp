// combine: rows [R,D] -> y [T,k*D], a token's rows side by side in slot order
// SPDX-License-Identifier: Apache-2.0
//
//     y[t][i*D .. (i+1)*D] = weight * row of the i-th slot of t, 0 if the slot is dead or missing
//
// Source: ViTPose (experts of parts side by side), concatenated heads of mixtures. Slots are in the order of selection,
// so the best expert stands first. Tokens may have fewer slots than k.
// errors        a token with more than k slots: value_error, before y is written
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct concat {
    using role = combine_part;
    static constexpr bool applies_weight = true;

    index_t k = 0;         // slots side by side
    bool weighted = true;  // false: rows as they are, and no gradient for the weights

    index_t outputs(index_t bank_outputs) const {
        if (k < 1) throw_value("concat.k", "at least 1", std::to_string(k));
        return k * bank_outputs;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, matrix_view<T> y) const {
        for (index_t t = 0; t < s.tokens(); ++t) {
            const index_t slots = s.routes.end(t) - s.routes.begin(t);
            if (slots > k)
                throw_value("concat.k", std::string("at least ") + std::to_string(slots) + " (slots of a token)", std::to_string(k));
        }
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, weighted = weighted](index_t t) {
            std::fill(y.row(t), y.row(t) + y.cols, T(0));
            for (index_t slot = r.begin(t); slot < r.end(t); ++slot) {
                const index_t row = plan.row[std::size_t(slot)];
                if (row < 0) continue;
                const T w = weighted ? r.weight[std::size_t(slot)] : T(1);
                T* to = y.row(t) + (slot - r.begin(t)) * rows.cols;
                for (index_t j = 0; j < rows.cols; ++j) to[j] = w * rows(row, j);
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& s, const plan_view& plan, input_view<T> rows, input_view<T> dy,
                  matrix_view<T> d_rows, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, d_weight = d.weight, weighted = weighted](index_t t) {
            for (index_t slot = r.begin(t); slot < r.end(t); ++slot) {
                const index_t row = plan.row[std::size_t(slot)];
                if (row < 0) continue;
                const T w = weighted ? r.weight[std::size_t(slot)] : T(1);
                const T* from = dy.row(t) + (slot - r.begin(t)) * rows.cols;
                T sum = T(0);
                for (index_t j = 0; j < rows.cols; ++j) {
                    d_rows(row, j) = w * from[j];
                    sum += from[j] * rows(row, j);
                }
                if (weighted) d_weight[std::size_t(slot)] += sum;
            }
        });
    }
};

MOE_END
