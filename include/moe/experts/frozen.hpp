// experts: a bank whose weights are saved but not trained
// SPDX-License-Identifier: Apache-2.0
//
//     moe::frozen{swiglu_bank<float>{...}}
//
// Computes what the bank computes, hands gradients to x and to the routes' weights, and none to its own: its gradient
// type is no_gradient, optimisers pass over it, files hold its weights as state. Source: adapters beside a frozen base
// (LoRA, Hu et al. 2021; PERFT 2024).
#pragma once

#include "moe/experts/bank.hpp"

MOE_BEGIN

template <class Bank>
class frozen {
public:
    using role = experts_part;
    using scalar = typename Bank::scalar;
    static constexpr bool applies_weight = detail::bank_applies_weight<Bank>();

    Bank bank;

    explicit frozen(Bank inner) : bank(std::move(inner)) {}

    index_t features() const { return bank.features(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return detail::bank_outputs(bank); }

    template <class B>
    auto forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        return detail::value_of([&] { return bank.forward(b, s, plan, rows); });
    }

    template <class B, class Saved>
        requires(!std::is_same_v<Saved, no_gradient>)
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const Saved& kept) const {
        no_gradient none;
        detail::bank_backward(bank, kept, none, b, s, plan, d_rows, d);
    }
    template <class B>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d) const {
        backward(b, s, plan, d_rows, d, detail::nothing{});
    }

    template <class V, class P>
        requires(has_parameters<Bank> || has_state<Bank>)
    static void state(V&& v, P& p) {
        if constexpr (has_parameters<Bank>) Bank::parameters(v, p.bank);
        if constexpr (has_state<Bank>) Bank::state(v, p.bank);
    }
};

MOE_END
