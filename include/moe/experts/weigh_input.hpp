// experts: a bank whose rows of x are multiplied by the weights of their routes, instead of its outputs
// SPDX-License-Identifier: Apache-2.0
//
//     row = expert(w * x[token])              moe::weigh_input{swiglu_bank<float>{...}}
//
// Source: Llama 4 (top-1, sigmoid of the selected logit on the input). The rows are summed as they are: a layer does
// that by itself when it has no combine. Any bank fits inside; it sees R tokens, one per route, so a bank that reads
// labels or other entries of the batch by token does not.
// gradient      d_w = <dx_row, x[token]>, d.x[token] += w * dx_row
// memory        R D for the weighted rows, kept in training, and 2 R D of scratch in backward
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

template <class Bank>
class weigh_input {
public:
    using role = experts_part;
    using scalar = typename Bank::scalar;
    using gradient = gradient_t<Bank>;
    static constexpr bool applies_weight = true;
    static_assert(!detail::bank_applies_weight<Bank>(),
                  "moe::weigh_input: this bank applies the routes' weights already");

    Bank bank;

    explicit weigh_input(Bank inner) : bank(std::move(inner)) {}

    index_t features() const { return bank.features(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return detail::bank_outputs(bank); }

    // What the bank sees: every row is a token.
    struct view {
        batch<scalar> in;
        plan_view plan;
    };
    template <class B>
    struct saved {
        const view* rows_as_tokens;
        detail::bank_saved_t<Bank, B, scalar> bank;
    };

    template <class B>
    saved<B> forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        const matrix_view<scalar> x = s.memory->template take<scalar>(plan.last_row(), features());
        kernels_of<B>::weighted_sum_gradient(b, plan, x, s.routes.weight, s.in().x, x, {});
        const view* inner = make_view(s, plan, x);
        routing<scalar> seen = s;
        seen.batch_of_call = &inner->in;
        return {inner, detail::value_of([&] { return bank.forward(b, seen, inner->plan, rows); })};
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const saved<B>& kept, G& g) const {
        using K = kernels_of<B>;
        routing<scalar> seen = s;
        seen.batch_of_call = &kept.rows_as_tokens->in;
        adjoint<scalar> inner = d;
        inner.x = b.scratch().template take<scalar>(plan.last_row(), features());
        K::fill(b, inner.x, scalar(0));
        {
            arena_frame scratch(b.scratch());
            detail::bank_backward(bank, kept.bank, g, b, seen, kept.rows_as_tokens->plan, d_rows, inner);
        }
        K::for_rows(b, plan.rows(), [plan, dx = inner.x, x = s.in().x, d_weight = d.weight](index_t i) {
            const std::size_t r = std::size_t(plan.first_row() + i);
            const scalar* from = x.row(plan.token[r]);
            scalar sum = scalar(0);
            for (index_t j = 0; j < dx.cols; ++j) sum += dx(index_t(r), j) * from[j];
            d_weight[std::size_t(plan.slot[r])] += sum;
        });
        K::weighted_sum(b, plan, inner.x, s.routes.weight, d.x, true);
    }

    gradient make_gradient() const { return moe::make_gradient(bank); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, detail::inner_of<weigh_input>(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank);
    }

private:
    static const view* make_view(const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> x) {
        const std::span<index_t> count = s.memory->template take<index_t>(std::size_t(x.rows) + 1);
        for (std::size_t i = 0; i < count.size(); ++i) count[i] = index_t(i);
        view* made = s.memory->create(view{});
        made->in = s.in();
        made->in.x = x;
        made->plan = plan;
        made->plan.tokens = x.rows;
        made->plan.token = count.first(std::size_t(x.rows));
        made->plan.token_offset = count;
        made->plan.token_row = count.first(std::size_t(x.rows));
        return made;
    }
};

MOE_END
