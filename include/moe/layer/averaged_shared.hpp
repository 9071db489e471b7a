// layer/averaged_shared: shared experts averaged with the routed output
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = (y[t] + sum over the bank's experts of expert(x[t])) / 2
//
// Source: Cohere2-MoE ("average"). Masked tokens stay 0.
#pragma once

#include "moe/layer/shared.hpp"

MOE_BEGIN

template <class Bank>
class averaged_shared : public detail::shared_bank<Bank> {
    using base = detail::shared_bank<Bank>;

public:
    using scalar = typename Bank::scalar;
    using T = scalar;
    using gradient = gradient_t<Bank>;
    static constexpr bool mixes_routed = true;

    explicit averaged_shared(Bank bank) : base(std::move(bank)) {}

    template <class B>
    using saved = typename base::template pass<B>;

    template <class B>
    saved<B> forward(B& b, const routing<T>& s, matrix_view<T> y) const {
        const saved<B> kept = this->run(b, s, b.scratch());
        kernels_of<B>::weighted_sum(b, kept.plan, kept.rows, {}, y, true);
        halve<B>(b, y, y);
        return kept;
    }

    // Writes d_routed, the gradient of what the routed experts gave.
    template <class B, class G>
    void backward(B& b, const routing<T>& s, matrix_view<const T> dy, matrix_view<T> d_routed, adjoint<T>& d,
                  const saved<B>& kept, G& g) const {
        halve<B>(b, dy, d_routed);
        this->run_back(b, s, d_routed, {}, {}, d, kept, g);
    }

    gradient make_gradient() const { return moe::make_gradient(this->bank()); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, bank_of(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank());
    }

private:
    template <class B>
    static void halve(B& b, matrix_view<const T> from, matrix_view<T> to) {
        kernels_of<B>::for_rows(b, to.rows, [from, to](index_t t) {
            for (index_t j = 0; j < to.cols; ++j) to(t, j) = T(0.5) * from(t, j);
        });
    }

    template <class P>
    static decltype(auto) bank_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, averaged_shared>) return (p.bank());
        else return (p);
    }
};

MOE_END
