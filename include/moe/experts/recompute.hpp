// experts: a feed-forward bank that keeps nothing for backward but computes its hidden values again there
// SPDX-License-Identifier: Apache-2.0
//
//     moe::recompute{swiglu_bank<float>{...}}
//
// Rows and gradients have the bits of the bank's own. Source: Chen et al. 2016 (training with sublinear memory).
// memory        the tape holds none of the bank's 3 R H (plain kinds: 2 R H); the scratch of backward as much more,
//               which all layers that train on a backend share
// cost          backward computes the first product again: 4 R D H (plain kinds: 2 R D H) flops, a step of 18 (12)
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

template <class Bank>
class recompute {
public:
    using role = experts_part;
    using scalar = typename Bank::scalar;
    using gradient = gradient_t<Bank>;
    static constexpr bool any_memory = Bank::any_memory;

    Bank bank;

    explicit recompute(Bank inner) : bank(std::move(inner)) {}

    index_t features() const { return bank.features(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return bank.outputs(); }

    template <class B>
    void forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        const arena_frame frame(b.scratch());
        bank.forward(b, in_scratch(b, s, false), plan, rows);
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, G& g) const {
        const arena_frame frame(b.scratch());
        const routing<scalar> again = in_scratch(b, s, true);
        bank.backward(b, again, plan, d_rows, d, bank.expand(b, again, plan), g);
    }

    gradient make_gradient() const { return moe::make_gradient(bank); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, detail::inner_of<recompute>(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank);
    }

private:
    template <class B>
    static routing<scalar> in_scratch(B& b, const routing<scalar>& s, bool recording) {
        routing<scalar> seen = s;
        seen.memory = &b.scratch();
        seen.recording = recording;
        return seen;
    }
};

MOE_END
