// experts: rows of x [R,D] -> rows [R,D], a bank of two-layer feed-forward experts
// SPDX-License-Identifier: Apache-2.0
//
//     plain    h = act(x W_up^T + b_up)                               ffn_bank<T, silu>
//     gated    h = act(x W_gate^T + b_gate, x W_up^T + b_up)          ffn_bank<T, gated<silu>>  (SwiGLU)
//     row      = h W_down^T + b_down
//
// Source: Switch, NLLB (plain); Mixtral, DeepSeek, Qwen (gated); Shazeer 2020 for the gated kinds.
// An expert without rows costs nothing and gets a gradient of exact zeros. Token numbers come from the plan.
// memory        training keeps h and the arguments of the activation: 2 R H (plain), 3 R H (gated)
// cost          4 R D H (plain), 6 R D H (gated) flops; the backward twice that
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"
#include "moe/experts/activation.hpp"

MOE_BEGIN

struct bank_options {
    index_t features = 0;    // D
    index_t hidden = 0;      // H
    index_t experts = 0;     // E
    bool bias = false;       // biases on all products
    std::uint64_t seed = 0;  // of the initial weights
};

namespace detail {

inline void check_options(const bank_options& o) {
    require_positive("bank.features", o.features);
    require_positive("bank.hidden", o.hidden);
    require_positive("bank.experts", o.experts);
}

template <class T>
matrix_view<const T> rows_of(matrix_view<T> m) {
    return m;
}

}  // namespace detail

template <class Activation>
inline constexpr bool is_gated = false;
template <class Activation>
inline constexpr bool is_gated<gated<Activation>> = true;

template <class T, class Activation>
class ffn_bank {
public:
    using role = experts_part;
    using scalar = T;

    panels<T> gate;    // [E,H,D] gated kinds only
    panels<T> up;      // [E,H,D]
    panels<T> down;    // [E,D,H]
    matrix<T> gate_bias, up_bias, down_bias;  // [E,H], [E,H], [E,D], or empty
    Activation activation{};

    ffn_bank(bank_options o, Activation act = {}) : activation(act) {
        detail::check_options(o);
        up = panels<T>(o.experts, o.hidden, o.features);
        down = panels<T>(o.experts, o.features, o.hidden);
        if constexpr (is_gated<Activation>) gate = panels<T>(o.experts, o.hidden, o.features);
        if (o.bias) {
            if constexpr (is_gated<Activation>) gate_bias = matrix<T>(o.experts, o.hidden);
            up_bias = matrix<T>(o.experts, o.hidden);
            down_bias = matrix<T>(o.experts, o.features);
        }
        detail::draw_uniform(gate, o.seed, "bank.gate");
        detail::draw_uniform(up, o.seed, "bank.up");
        detail::draw_uniform(down, o.seed, "bank.down");
    }

    index_t features() const { return up.inputs(); }
    index_t hidden() const { return up.outputs(); }
    index_t experts() const { return up.groups(); }

    struct saved {
        matrix_view<T> hidden, gate, up;  // [R,H] h and the arguments of the activation
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        using K = kernels_of<B>;
        const row_groups groups{plan.offset, plan.token};
        saved kept;
        kept.hidden = s.memory->template take<T>(rows.rows, hidden());
        if (s.recording) {
            kept.up = s.memory->template take<T>(rows.rows, hidden());
            if constexpr (is_gated<Activation>) kept.gate = s.memory->template take<T>(rows.rows, hidden());
        }
        if constexpr (is_gated<Activation>) {
            K::grouped_gated_activation(b, groups, s.in().x, gate, up, gate_bias, up_bias, activation, kept.hidden,
                                        kept.gate, kept.up);
        } else {
            K::grouped_activation(b, groups, s.in().x, up, up_bias, activation, kept.hidden, kept.up);
        }
        K::grouped_linear(b, {plan.offset, {}}, kept.hidden, down, down_bias, rows);
        return kept;
    }

    template <class B>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, ffn_bank& g) const {
        using K = kernels_of<B>;
        const row_groups by_row{plan.offset, {}};
        const row_groups by_token{plan.offset, plan.token};
        const index_t count = d_rows.rows;
        K::grouped_weight_gradient(b, by_row, d_rows, kept.hidden, g.down);
        if (down_bias.size() != 0) K::grouped_bias_gradient(b, by_row, d_rows, g.down_bias.view());
        matrix_view<T> dh = b.scratch().template take<T>(count, hidden());
        matrix_view<T> dx = b.scratch().template take<T>(count, features());
        K::grouped_input_gradient(b, by_row, d_rows, down, dh, false);
        if constexpr (is_gated<Activation>) {
            matrix_view<T> d_gate = b.scratch().template take<T>(count, hidden());
            K::gated_activation_gradient(b, by_row, kept.gate, kept.up, dh, activation, d_gate, dh);
            K::grouped_weight_gradient(b, by_token, d_gate, s.in().x, g.gate);
            if (gate_bias.size() != 0) K::grouped_bias_gradient(b, by_row, d_gate, g.gate_bias.view());
            K::grouped_input_gradient(b, by_row, d_gate, gate, dx, false);
            add_up(b, by_row, by_token, s, dh, dx, true, g);
        } else {
            K::activation_gradient(b, by_row, kept.up, activation, dh);
            add_up(b, by_row, by_token, s, dh, dx, false, g);
        }
        K::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        if constexpr (is_gated<Activation>) {
            v("gate", p.gate...);
            v("gate_bias", p.gate_bias...);
        }
        v("up", p.up...);
        v("up_bias", p.up_bias...);
        v("down", p.down...);
        v("down_bias", p.down_bias...);
    }

private:
    template <class B>
    void add_up(B& b, const row_groups& by_row, const row_groups& by_token, const routing<T>& s, matrix_view<T> d_up,
                matrix_view<T> dx, bool accumulate, ffn_bank& g) const {
        using K = kernels_of<B>;
        K::grouped_weight_gradient(b, by_token, d_up, s.in().x, g.up);
        if (up_bias.size() != 0) K::grouped_bias_gradient(b, by_row, d_up, g.up_bias.view());
        K::grouped_input_gradient(b, by_row, d_up, up, dx, accumulate);
    }
};

// The gated kind of Mixtral, DeepSeek and Qwen: silu(g) * u.
template <class T>
using swiglu_bank = ffn_bank<T, gated<silu>>;

MOE_END
