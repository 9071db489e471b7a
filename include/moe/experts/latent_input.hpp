// experts: a bank that sees a narrow linear image of x, the same for all its experts
// SPDX-License-Identifier: Apache-2.0
//
//     row = expert(P x[token])             P [L,D], L = features of the bank inside
//
// Source: Nemotron-H's latent experts, Kimi-K3: x -> L once per token, experts on L, and projected_sum, a combine, from
// L back to D once per token: moe::layer{router, moe::latent_input{swiglu, {.features = d}},
// moe::projected_sum<float>{...}}.
// The router sees x. Gradients of P are summed over the tokens that have a route in this bank.
// memory        training keeps T L
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

struct latent_options {
    index_t features = 0;    // D
    std::uint64_t seed = 0;  // of the initial projection
};

template <class Bank>
class latent_input {
public:
    using role = experts_part;
    using scalar = typename Bank::scalar;
    static constexpr bool applies_weight = detail::bank_applies_weight<Bank>();

    struct gradient {
        panels<scalar> projection;
        gradient_t<Bank> bank;
    };

    panels<scalar> projection;  // [1,L,D]
    Bank bank;

    latent_input(Bank inner, const latent_options& o) : bank(std::move(inner)) {
        detail::require_positive("latent_input.features", o.features);
        projection = panels<scalar>(1, bank.features(), o.features);
        detail::draw_uniform(projection, o.seed, "latent_input.projection");
    }

    index_t features() const { return projection.inputs(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return detail::bank_outputs(bank); }

    template <class B>
    struct saved {
        const batch<scalar>* in;  // x is the latent image
        detail::bank_saved_t<Bank, B, scalar> bank;
    };

    template <class B>
    saved<B> forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        const matrix_view<scalar> latent = s.memory->template take<scalar>(s.tokens(), bank.features());
        const index_t everyone[2] = {0, s.tokens()};
        kernels_of<B>::grouped_linear(b, {everyone, {}}, s.in().x, projection, {}, latent);
        batch<scalar>* in = s.memory->create(s.in());
        in->x = latent;
        routing<scalar> seen = s;
        seen.batch_of_call = in;
        return {in, detail::value_of([&] { return bank.forward(b, seen, plan, rows); })};
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const saved<B>& kept, G& g) const {
        using K = kernels_of<B>;
        routing<scalar> seen = s;
        seen.batch_of_call = kept.in;
        adjoint<scalar> inner = d;
        inner.x = b.scratch().template take<scalar>(s.tokens(), bank.features());
        K::fill(b, inner.x, scalar(0));
        {
            arena_frame scratch(b.scratch());
            detail::bank_backward(bank, kept.bank, bank_gradient(g), b, seen, plan, d_rows, inner);
        }
        const index_t everyone[2] = {0, s.tokens()};
        K::grouped_input_gradient(b, {everyone, {}}, inner.x, projection, d.x, true);
        if constexpr (!std::is_same_v<G, no_gradient>) add_projection(b, s, plan, inner.x, g.projection);
    }

    gradient make_gradient() const {
        return {panels<scalar>(1, projection.outputs(), projection.inputs()), moe::make_gradient(bank)};
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("projection", p.projection...);
        if constexpr (has_parameters<Bank>) Bank::parameters(nested(v, "bank"), p.bank...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(nested(v, "bank"), p.bank);
    }

private:
    template <class G>
    static auto& bank_gradient(G& g) {
        if constexpr (std::is_same_v<G, no_gradient>) return g;
        else return g.bank;
    }

    // A token without a route takes no part, whatever its x holds.
    template <class B>
    static void add_projection(B& b, const routing<scalar>& s, const plan_view& plan,
                               matrix_view<const scalar> d_latent, panels<scalar>& g) {
        const std::span<index_t> token = b.scratch().template take<index_t>(std::size_t(s.tokens()));
        const matrix_view<scalar> rows = b.scratch().template take<scalar>(s.tokens(), d_latent.cols);
        index_t count = 0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (plan.token_offset[std::size_t(t)] == plan.token_offset[std::size_t(t) + 1]) continue;
            std::copy(d_latent.row(t), d_latent.row(t) + d_latent.cols, rows.row(count));
            token[std::size_t(count++)] = t;
        }
        const index_t served[2] = {0, count};
        kernels_of<B>::grouped_weight_gradient(b, {served, token.first(std::size_t(count))}, rows, s.in().x, g);
    }
};

MOE_END
