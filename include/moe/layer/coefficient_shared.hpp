// layer/coefficient_shared: routed and shared output mixed by two coefficients per token
// SPDX-License-Identifier: Apache-2.0
//
//     (a, b) = softmax(C x[t] + c)             C [2,D], c [2] learned
//     y[t]   = a * y[t] + b * sum over the bank's experts of expert(x[t])
//
// Source: Klear; the residual mixture of experts of DeepSpeed-MoE (Rajbhandari et al. 2022). Masked tokens stay 0.
// memory        training keeps the routed output, T D, and the shared rows
#pragma once

#include "moe/layer/shared.hpp"
#include "moe/layer/shared_gate.hpp"

MOE_BEGIN

struct coefficient_shared_options {
    std::uint64_t seed = 0;  // of the initial coefficients
};

template <class Bank>
class coefficient_shared : public detail::shared_bank<Bank> {
    using base = detail::shared_bank<Bank>;

public:
    using scalar = typename Bank::scalar;
    using T = scalar;
    static constexpr bool mixes_routed = true;

    struct gradient {
        detail::shared_gate<T> coefficient;
        gradient_t<Bank> experts;
    };

    detail::shared_gate<T> coefficient;

    explicit coefficient_shared(Bank bank, coefficient_shared_options o = {}) : base(std::move(bank)) {
        coefficient = detail::shared_gate<T>::make(2, this->features(), true, o.seed);
    }

    template <class B>
    struct saved {
        typename base::template pass<B> pass;
        matrix_view<T> routed;  // [T,Dout] y as it was
        matrix_view<T> mix;     // [live,2]
        std::span<T> weight;    // by slot: the second coefficient
    };

    template <class B>
    saved<B> forward(B& b, const routing<T>& s, matrix_view<T> y) const {
        saved<B> kept{this->run(b, s, *s.memory), {}, {}, {}};
        const plan_view tokens = coefficient.tokens_of(kept.pass.plan);
        if (s.recording) {
            kept.routed = s.memory->template take<T>(y.rows, y.cols);
            kernels_of<B>::copy(b, y, kept.routed);
        }
        kept.mix = s.memory->template take<T>(tokens.rows(), 2);
        kept.weight = s.memory->template take<T>(kept.pass.plan.row.size());
        coefficient.forward(b, s, tokens, kept.mix);
        kernels_of<B>::for_rows(b, tokens.rows(), [=, mix = kept.mix, weight = kept.weight, n = this->bank().experts()](
                                                      index_t r) {
            const T largest = mix(r, 0) < mix(r, 1) ? mix(r, 1) : mix(r, 0);
            const T first = std::exp(mix(r, 0) - largest);
            const T second = std::exp(mix(r, 1) - largest);
            mix(r, 0) = first / (first + second);
            mix(r, 1) = second / (first + second);
            const index_t t = tokens.token[std::size_t(r)];
            for (index_t j = 0; j < y.cols; ++j) y(t, j) *= mix(r, 0);
            for (index_t e = 0; e < n; ++e) weight[std::size_t(t * n + e)] = mix(r, 1);
        });
        kernels_of<B>::weighted_sum(b, kept.pass.plan, kept.pass.rows, kept.weight, y, true);
        return kept;
    }

    // Writes d_routed, the gradient of what the routed experts gave.
    template <class B>
    void backward(B& b, const routing<T>& s, matrix_view<const T> dy, matrix_view<T> d_routed, adjoint<T>& d,
                  const saved<B>& kept, gradient& g) const {
        const std::span<T> d_weight = b.scratch().template take<T>(kept.weight.size());
        std::fill(d_weight.begin(), d_weight.end(), T(0));
        {
            arena_frame scratch(b.scratch());
            this->run_back(b, s, dy, kept.weight, d_weight, d, kept.pass, g.experts);
        }
        const plan_view tokens = coefficient.tokens_of(kept.pass.plan);
        const matrix_view<T> dz = b.scratch().template take<T>(tokens.rows(), 2);
        kernels_of<B>::fill(b, d_routed, T(0));
        kernels_of<B>::for_rows(b, tokens.rows(), [=, routed = kept.routed, mix = kept.mix, n = this->bank().experts()](
                                                      index_t r) {
            const index_t t = tokens.token[std::size_t(r)];
            T first = T(0);
            T second = T(0);
            for (index_t j = 0; j < dy.cols; ++j) {
                first += dy(t, j) * routed(t, j);
                d_routed(t, j) = mix(r, 0) * dy(t, j);
            }
            for (index_t e = 0; e < n; ++e) second += d_weight[std::size_t(t * n + e)];
            const T slope = mix(r, 0) * mix(r, 1) * (first - second);
            dz(r, 0) = slope;
            dz(r, 1) = -slope;
        });
        coefficient.backward(b, s, tokens, dz, d, g.coefficient);
    }

    gradient make_gradient() const { return {coefficient.zeros(), moe::make_gradient(this->bank())}; }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("coefficient", p.coefficient.weight...);
        v("coefficient_bias", p.coefficient.bias...);
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
        if constexpr (std::is_same_v<std::remove_const_t<P>, coefficient_shared>) return (p.bank());
        else return (p.experts);
    }
};

MOE_END
