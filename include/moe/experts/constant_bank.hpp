// experts: rows of x [R,D] -> one learned row per expert [R,Dout], whatever x is
// SPDX-License-Identifier: Apache-2.0
//
//     row = value[expert]
//
// Source: the constant experts of MoE++ (Jin et al. 2024) without their mixing with x, which banks{identity, constant}
// and the router's weights give. Values start at 0, so a fresh constant expert is a null expert.
// gradient      d_value[e] += sum of the expert's d_rows in ascending row order; none for x
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/null_bank.hpp"

MOE_BEGIN

template <class T>
class constant_bank {
public:
    using role = experts_part;
    using scalar = T;

    matrix<T> value;  // [E,Dout]

    constant_bank(simple_bank_options o) : features_(o.features) {
        detail::require_positive("constant_bank.features", o.features);
        detail::require_positive("constant_bank.experts", o.experts);
        if (o.outputs < 0)
            throw_value("constant_bank.outputs", "at least 0 (0: as features)", std::to_string(o.outputs));
        value = matrix<T>(o.experts, o.outputs == 0 ? o.features : o.outputs);
    }

    index_t features() const { return features_; }
    index_t experts() const { return value.rows(); }
    index_t outputs() const { return value.cols(); }

    template <class B>
    void forward(B& b, const routing<T>&, const plan_view& plan, matrix_view<T> rows) const {
        kernels_of<B>::for_rows(b, plan.experts(), [plan, rows, v = value.view()](index_t e) {
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) std::copy(v.row(e), v.row(e) + v.cols, rows.row(r));
        });
    }

    template <class B, class G>
    void backward(B& b, const routing<T>&, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>&,
                  G& g) const {
        if constexpr (!std::is_same_v<G, no_gradient>) {
            kernels_of<B>::grouped_bias_gradient(b, {plan.offset, {}}, d_rows, g.value.view());
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("value", p.value...);
    }

private:
    index_t features_;
};

MOE_END
