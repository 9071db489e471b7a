// experts: a feed-forward bank whose hidden values are multiplied by the routes' weights, instead of its outputs
// SPDX-License-Identifier: Apache-2.0
//
//     row = W_down (w * h) + b_down           moe::weigh_hidden{swiglu_bank<float>{...}}
//
// Source: PEER and Doge; MegaBlocks and several serving kernels, which scale the narrower matrix. Without biases it
// equals the weighted output up to rounding; a bias of the second product is not weighted. The rows are summed as they
// are: a layer does that by itself when it has no combine.
#pragma once

#include "moe/experts/ffn_bank.hpp"

MOE_BEGIN

template <class Bank>
class weigh_hidden;

template <class T, class Activation, class Storage>
class weigh_hidden<ffn_bank<T, Activation, Storage>> {
public:
    using Bank = ffn_bank<T, Activation, Storage>;
    using role = experts_part;
    using scalar = T;
    using gradient = gradient_t<Bank>;
    static constexpr bool applies_weight = true;

    Bank bank;

    explicit weigh_hidden(Bank inner) : bank(std::move(inner)) {}

    index_t features() const { return bank.features(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return bank.outputs(); }

    struct saved {
        typename Bank::saved bank;
        matrix_view<T> weighted;  // [R,H]
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        saved kept{bank.expand(b, s, plan), s.memory->template take<T>(plan.last_row(), bank.hidden())};
        scale<B>(b, plan, s.routes.weight, kept.bank.hidden, kept.weighted);
        bank.contract(b, plan, kept.weighted, rows);
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, G& g) const {
        const matrix_view<T> dh = b.scratch().template take<T>(plan.last_row(), bank.hidden());
        bank.contract_backward(b, plan, d_rows, kept.weighted, dh, g);
        kernels_of<B>::for_rows(b, plan.rows(), [plan, dh, h = kept.bank.hidden, d_weight = d.weight](index_t i) {
            const index_t r = plan.first_row() + i;
            T sum = T(0);
            for (index_t n = 0; n < dh.cols; ++n) sum += dh(r, n) * h(r, n);
            d_weight[std::size_t(plan.slot[std::size_t(r)])] += sum;
        });
        scale<B>(b, plan, s.routes.weight, dh, dh);
        bank.expand_backward(b, s, plan, dh, d, kept.bank, g);
    }

    gradient make_gradient() const { return moe::make_gradient(bank); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, detail::inner_of<weigh_hidden>(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank);
    }

private:
    template <class B>
    static void scale(B& b, const plan_view& plan, std::span<const T> weight, matrix_view<const T> from,
                      matrix_view<T> to) {
        kernels_of<B>::for_rows(b, plan.rows(), [=](index_t i) {
            const index_t r = plan.first_row() + i;
            const T w = weight[std::size_t(plan.slot[std::size_t(r)])];
            for (index_t n = 0; n < to.cols; ++n) to(r, n) = w * from(r, n);
        });
    }
};

template <class T, class Activation, class Storage>
weigh_hidden(ffn_bank<T, Activation, Storage>) -> weigh_hidden<ffn_bank<T, Activation, Storage>>;

MOE_END
