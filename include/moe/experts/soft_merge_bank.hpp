// experts: one merged feed-forward expert per token, its weights the weighted sum of the chosen experts' weights
// SPDX-License-Identifier: Apache-2.0
//
//     W[t]  = sum over the routes of t of w * W[expert]           for W_gate, W_up, W_down and their biases
//     y[t]  = the feed-forward expert with W[t], of x[t]          moe::soft_merge_bank{swiglu_bank<float>{...}}
//
// Source: SMEAR (Muqeeth et al. 2023), soft merging of experts; adapters merged before use (AdaMix 2022, Lory 2024). No
// merged weight is ever formed: the products are linear in the weights, so the arguments of the activation are summed
// over the routes, the activation is applied once per token, and the layer's weighted sum adds the second products.
// Weights that sum to 1 make it an average. With one route of weight 1 per token it is the bank inside.
// traits        the weights get gradients through both sums
// memory        training keeps 3 R H + 2 T H (gated)
#pragma once

#include "moe/experts/ffn_bank.hpp"

MOE_BEGIN

template <class Bank>
class soft_merge_bank;

template <class T, class Activation, class Storage>
class soft_merge_bank<ffn_bank<T, Activation, Storage>> {
public:
    using Bank = ffn_bank<T, Activation, Storage>;
    using role = experts_part;
    using scalar = T;
    using gradient = gradient_t<Bank>;

    Bank bank;

    explicit soft_merge_bank(Bank inner) : bank(std::move(inner)) {}

    index_t features() const { return bank.features(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return bank.outputs(); }

    struct saved {
        matrix_view<T> gate_rows, up_rows;  // [R,H] arguments of every chosen expert
        matrix_view<T> gate, up, hidden;    // [T,H] of the merged expert
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        saved kept;
        kept.up_rows = arguments(b, s, plan, bank.up, bank.up_bias);
        kept.up = merge(b, s, plan, kept.up_rows);
        if constexpr (is_gated<Activation>) {
            kept.gate_rows = arguments(b, s, plan, bank.gate, bank.gate_bias);
            kept.gate = merge(b, s, plan, kept.gate_rows);
        }
        kept.hidden = s.memory->template take<T>(plan.tokens, bank.hidden());
        kernels_of<B>::for_rows(b, plan.tokens, [kept, act = bank.activation](index_t t) {
            for (index_t n = 0; n < kept.hidden.cols; ++n) {
                if constexpr (is_gated<Activation>) {
                    kept.hidden(t, n) = act.template value<scalar_math>(kept.gate(t, n), kept.up(t, n));
                } else {
                    kept.hidden(t, n) = act.template value<scalar_math>(kept.up(t, n));
                }
            }
        });
        kernels_of<B>::grouped_linear(b, {plan.offset, plan.token}, kept.hidden, bank.down.packed(), bank.down_bias,
                                      rows);
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, G& g) const {
        using K = kernels_of<B>;
        const row_groups by_row{plan.offset, {}};
        const auto take = [&](index_t rows, index_t cols) { return b.scratch().template take<T>(rows, cols); };
        const matrix_view<T> d_argument = take(plan.last_row(), bank.hidden());
        const matrix_view<T> dh = take(plan.tokens, bank.hidden());
        const matrix_view<T> dx = take(plan.last_row(), features());
        if constexpr (learns<G>) {
            K::grouped_weight_gradient(b, {plan.offset, plan.token}, d_rows, kept.hidden, g.down);
            if (bank.down_bias.size() != 0) K::grouped_bias_gradient(b, by_row, d_rows, g.down_bias.view());
        }
        K::grouped_input_gradient(b, by_row, d_rows, bank.down.packed(), d_argument, false);
        K::weighted_sum(b, plan, d_argument, {}, dh, false);
        const index_t everyone[2] = {0, plan.tokens};
        const row_groups by_token{everyone, {}};
        bool more = false;
        if constexpr (is_gated<Activation>) {
            const matrix_view<T> d_gate = take(plan.tokens, bank.hidden());
            K::gated_activation_gradient(b, by_token, kept.gate, kept.up, dh, bank.activation, d_gate, dh);
            K::weighted_sum_gradient(b, plan, kept.gate_rows, s.routes.weight, d_gate, d_argument, d.weight);
            if constexpr (learns<G>) add_weights(b, s, plan, d_argument, g.gate, g.gate_bias);
            K::grouped_input_gradient(b, by_row, d_argument, bank.gate.packed(), dx, false);
            more = true;
        } else {
            K::activation_gradient(b, by_token, kept.up, bank.activation, dh);
        }
        K::weighted_sum_gradient(b, plan, kept.up_rows, s.routes.weight, dh, d_argument, d.weight);
        if constexpr (learns<G>) add_weights(b, s, plan, d_argument, g.up, g.up_bias);
        K::grouped_input_gradient(b, by_row, d_argument, bank.up.packed(), dx, more);
        K::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    gradient make_gradient() const { return moe::make_gradient(bank); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, detail::inner_of<soft_merge_bank>(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank);
    }

private:
    template <class G>
    static constexpr bool learns = !std::is_same_v<G, no_gradient>;

    template <class B>
    matrix_view<T> arguments(B& b, const routing<T>& s, const plan_view& plan, const typename Bank::weights& w,
                             const matrix<T>& bias) const {
        const matrix_view<T> z = s.memory->template take<T>(plan.last_row(), bank.hidden());
        kernels_of<B>::grouped_linear(b, {plan.offset, plan.token}, s.in().x, w.packed(), bias, z);
        return z;
    }
    template <class B>
    matrix_view<T> merge(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> z) const {
        const matrix_view<T> merged = s.memory->template take<T>(plan.tokens, bank.hidden());
        kernels_of<B>::weighted_sum(b, plan, z, s.routes.weight, merged, false);
        return merged;
    }
    template <class B>
    static void add_weights(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_argument,
                            panels<T>& weight, matrix<T>& bias) {
        kernels_of<B>::grouped_weight_gradient(b, {plan.offset, plan.token}, d_argument, s.in().x, weight);
        if (bias.size() != 0) kernels_of<B>::grouped_bias_gradient(b, {plan.offset, {}}, d_argument, bias.view());
    }
};

template <class T, class Activation, class Storage>
soft_merge_bank(ffn_bank<T, Activation, Storage>) -> soft_merge_bank<ffn_bank<T, Activation, Storage>>;

MOE_END
