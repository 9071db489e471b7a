// layer/gated_shared: shared experts behind one logistic gate per token
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] += s(<v, x[t]>) * sum over the bank's experts of expert(x[t])          s(z) = 1 / (1 + exp(-z)), v [D]
//     learned
//
// Source: Qwen2-MoE and Qwen3-Next (shared_expert_gate). Masked tokens are not served.
#pragma once

#include "moe/layer/shared.hpp"
#include "moe/layer/shared_gate.hpp"

MOE_BEGIN

struct gated_shared_options {
    std::uint64_t seed = 0;  // of the initial gate
};

template <class Bank>
class gated_shared : public detail::shared_bank<Bank> {
    using base = detail::shared_bank<Bank>;

public:
    using scalar = typename Bank::scalar;
    using T = scalar;

    struct gradient {
        detail::shared_gate<T> gate;
        gradient_t<Bank> experts;
    };

    detail::shared_gate<T> gate;

    explicit gated_shared(Bank bank, gated_shared_options o = {}) : base(std::move(bank)) {
        gate = detail::shared_gate<T>::make(1, this->features(), false, o.seed);
    }

    template <class B>
    struct saved {
        typename base::template pass<B> pass;
        std::span<T> weight;  // by slot
    };

    template <class B>
    saved<B> forward(B& b, const routing<T>& s, matrix_view<T> y) const {
        saved<B> kept{this->run(b, s, *s.memory), {}};
        const plan_view tokens = gate.tokens_of(kept.pass.plan);
        const matrix_view<T> z = b.scratch().template take<T>(tokens.rows(), 1);
        gate.forward(b, s, tokens, z);
        kept.weight = s.memory->template take<T>(kept.pass.plan.row.size());
        kernels_of<B>::for_rows(b, tokens.rows(),
                                [z, tokens, weight = kept.weight, n = this->bank().experts()](index_t r) {
                                    const index_t first = tokens.token[std::size_t(r)] * n;
                                    for (index_t e = 0; e < n; ++e)
                                        weight[std::size_t(first + e)] = T(1) / (T(1) + std::exp(-z(r, 0)));
                                });
        kernels_of<B>::weighted_sum(b, kept.pass.plan, kept.pass.rows, kept.weight, y, true);
        return kept;
    }

    template <class B>
    void backward(B& b, const routing<T>& s, matrix_view<const T> dy, adjoint<T>& d, const saved<B>& kept,
                  gradient& g) const {
        const std::span<T> d_weight = b.scratch().template take<T>(kept.weight.size());
        std::fill(d_weight.begin(), d_weight.end(), T(0));
        {
            arena_frame scratch(b.scratch());
            this->run_back(b, s, dy, kept.weight, d_weight, d, kept.pass, g.experts);
        }
        const plan_view tokens = gate.tokens_of(kept.pass.plan);
        const matrix_view<T> dz = b.scratch().template take<T>(tokens.rows(), 1);
        kernels_of<B>::for_rows(b, tokens.rows(), [=, weight = kept.weight, n = this->bank().experts()](index_t r) {
            const index_t first = tokens.token[std::size_t(r)] * n;
            const T p = weight[std::size_t(first)];
            T sum = T(0);
            for (index_t e = 0; e < n; ++e) sum += d_weight[std::size_t(first + e)];
            dz(r, 0) = sum * p * (T(1) - p);
        });
        gate.backward(b, s, tokens, dz, d, g.gate);
    }

    gradient make_gradient() const { return {gate.zeros(), moe::make_gradient(this->bank())}; }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("gate", p.gate.weight...);
        if constexpr (has_parameters<Bank>) Bank::parameters(nested(v, "experts"), experts_of(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(nested(v, "experts"), p.bank());
    }

private:
    template <class P>
    static decltype(auto) experts_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, gated_shared>) return (p.bank());
        else return (p.experts);
    }
};

MOE_END
