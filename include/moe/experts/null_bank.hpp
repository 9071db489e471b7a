// experts: rows of x [R,D] -> rows [R,Dout] of zeros, experts that do nothing
// SPDX-License-Identifier: Apache-2.0
//
// A token routed here keeps the weight it spent, gets exact zeros for it, and no gradient flows.
// Source: AdaMoE 2024; MoE++ (zero experts) 2024; ZAYA. Beside other experts: moe::banks{swiglu, null_bank}.
// A router that should not even plan such routes drops them with a route step instead.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

struct simple_bank_options {
    index_t features = 0;  // D
    index_t experts = 0;   // E
    index_t outputs = 0;   // Dout; 0: as many as features
};

template <class T>
class null_bank {
public:
    using role = experts_part;
    using scalar = T;

    null_bank(simple_bank_options o) : options_(o) {
        detail::require_positive("null_bank.features", o.features);
        detail::require_positive("null_bank.experts", o.experts);
        if (o.outputs < 0) throw_value("null_bank.outputs", "at least 0 (0: as features)", std::to_string(o.outputs));
    }

    index_t features() const { return options_.features; }
    index_t experts() const { return options_.experts; }
    index_t outputs() const { return options_.outputs == 0 ? options_.features : options_.outputs; }

    template <class B>
    void forward(B& b, const routing<T>&, const plan_view& plan, matrix_view<T> rows) const {
        kernels_of<B>::fill(b, rows.middle_rows(plan.first_row(), plan.rows()), T(0));
    }

    template <class B>
    void backward(B&, const routing<T>&, const plan_view&, matrix_view<const T>, adjoint<T>&) const {}

private:
    simple_bank_options options_;
};

MOE_END
