// experts: rows of x [R,D] -> rows [R,Dout], computed by a callable of the user
// SPDX-License-Identifier: Apache-2.0
//
//     moe::callable_bank<float, F>{{.features = d, .outputs = o, .experts = e}, f}
//
// f(expert, x, y) is called once per expert that has rows, by ascending expert, on the calling thread, with the
// expert's rows gathered in token order: x [n,D] to read, y [n,Dout] to write, all of it. For training F also has
//
//     void backward(index_t expert, matrix_view<const T> x, matrix_view<const T> dy, matrix_view<T> dx [, G& gradient])
//     const
//
// which writes dx [n,D]; G is there if F has parameters (`static parameters(v, p...)`), which the bank then owns like
// its own.
// A row's result must not depend on the other rows if the layer is to keep the laws of layers. What F throws passes
// through.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

struct callable_bank_options {
    index_t features = 0;  // D
    index_t outputs = 0;   // Dout; 0: as many as features
    index_t experts = 0;   // E
};

template <class T, class F>
class callable_bank {
public:
    using role = experts_part;
    using scalar = T;
    using gradient = gradient_t<F>;

    F function;

    callable_bank(callable_bank_options o, F f) : function(std::move(f)), options_(o) {
        detail::require_positive("callable_bank.features", o.features);
        detail::require_positive("callable_bank.experts", o.experts);
        if (o.outputs < 0)
            throw_value("callable_bank.outputs", "at least 0 (0: as features)", std::to_string(o.outputs));
    }

    index_t features() const { return options_.features; }
    index_t experts() const { return options_.experts; }
    index_t outputs() const { return options_.outputs == 0 ? options_.features : options_.outputs; }

    template <class B>
    void forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        const matrix_view<T> x = gathered(b, s, plan);
        for (index_t e = 0; e < plan.experts(); ++e) {
            const index_t n = plan.count(e);
            if (n > 0)
                function(e, matrix_view<const T>(x.middle_rows(plan.begin(e), n)), rows.middle_rows(plan.begin(e), n));
        }
    }

    template <class B>
    requires requires(const F& f, matrix_view<const T> in, matrix_view<T> out) { f.backward(index_t{}, in, in, out); }
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d) const {
        no_gradient none;
        run_back(b, s, plan, d_rows, d, none);
    }
    template <class B, class G>
        requires requires(const F& f, matrix_view<const T> in, matrix_view<T> out, G& g) {
            f.backward(index_t{}, in, in, out, g);
        }
        void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                      G& g) const {
            run_back(b, s, plan, d_rows, d, g);
        }

    gradient make_gradient() const { return moe::make_gradient(function); }

    template <class V, class... P>
        requires has_parameters<F>
    static void parameters(V&& v, P&... p) {
        F::parameters(v, function_of(p)...);
    }

private:
    template <class B>
    static matrix_view<T> gathered(B& b, const routing<T>& s, const plan_view& plan) {
        const matrix_view<T> x = b.scratch().template take<T>(plan.last_row(), s.in().x.cols);
        kernels_of<B>::for_rows(b, plan.rows(), [plan, x, from = s.in().x](index_t i) {
            const index_t r = plan.first_row() + i;
            const T* row = from.row(plan.token[std::size_t(r)]);
            std::copy(row, row + x.cols, x.row(r));
        });
        return x;
    }

    template <class B, class G>
    void run_back(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  G& g) const {
        const matrix_view<T> x = gathered(b, s, plan);
        const matrix_view<T> dx = b.scratch().template take<T>(plan.last_row(), features());
        for (index_t e = 0; e < plan.experts(); ++e) {
            const index_t first = plan.begin(e);
            const index_t n = plan.count(e);
            if (n == 0) continue;
            const matrix_view<const T> in = x.middle_rows(first, n);
            if constexpr (std::is_same_v<G, no_gradient>) {
                function.backward(e, in, d_rows.middle_rows(first, n), dx.middle_rows(first, n));
            } else {
                function.backward(e, in, d_rows.middle_rows(first, n), dx.middle_rows(first, n), g);
            }
        }
        kernels_of<B>::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    template <class P>
    static decltype(auto) function_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, callable_bank>) return (p.function);
        else return (p);
    }

    callable_bank_options options_;
};

MOE_END
