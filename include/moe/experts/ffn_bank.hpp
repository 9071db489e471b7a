// experts: rows of x [R,D] -> rows [R,Dout], a bank of two-layer feed-forward experts
// SPDX-License-Identifier: Apache-2.0
//
//     plain    h = act(x W_up^T + b_up)                               ffn_bank<T, silu>
//     gated    h = act(x W_gate^T + b_gate, x W_up^T + b_up)          ffn_bank<T, gated<silu>>  (SwiGLU)
//     row      = h W_down^T + b_down
//
// The third argument says how weights are kept (experts/weight_storage.hpp): ffn_bank<float, silu, bf16_weights>.
// Source: Switch, NLLB (plain); Mixtral, DeepSeek, Qwen (gated); Shazeer 2020 for the gated kinds.
// An expert without rows costs nothing and gets a gradient of exact zeros. Token numbers come from the plan.
// errors        options below 1, and parameters an activation refuses, throw value_error
// memory        training keeps h and the arguments of the activation: 2 R H (plain), 3 R H (gated)
// cost          4 R D H (plain), 6 R D H (gated) flops; the backward twice that
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/activation.hpp"
#include "moe/experts/bank.hpp"
#include "moe/experts/weight_storage.hpp"

MOE_BEGIN

struct bank_options {
    index_t features = 0;    // D
    index_t hidden = 0;      // H
    index_t experts = 0;     // E
    bool bias = false;       // biases on all products
    std::uint64_t seed = 0;  // of the initial weights
    index_t outputs = 0;     // Dout; 0: as many as features
};

namespace detail {

inline void check_options(const bank_options& o) {
    require_positive("bank.features", o.features);
    require_positive("bank.hidden", o.hidden);
    require_positive("bank.experts", o.experts);
    if (o.outputs < 0) throw_value("bank.outputs", "at least 0 (0: as features)", std::to_string(o.outputs));
}

}  // namespace detail

// An activation of two arguments.
template <class A>
inline constexpr bool is_gated = requires(const A& a) { a.template value<scalar_math>(1.0, 1.0); };

template <class T, class Activation, class Storage = same_scalar>
class ffn_bank {
public:
    using role = experts_part;
    using scalar = T;
    using weights = typename Storage::template weights<T>;
    static constexpr bool any_memory = true;

    weights gate;                             // [E,H,D] gated kinds only
    weights up;                               // [E,H,D]
    weights down;                             // [E,Dout,H]
    matrix<T> gate_bias, up_bias, down_bias;  // [E,H], [E,H], [E,Dout], or empty
    Activation activation;

    ffn_bank(bank_options o)
        requires std::is_default_constructible_v<Activation>
        : ffn_bank(o, Activation{}) {}
    ffn_bank(bank_options o, Activation act) : activation(act) {
        detail::check_options(o);
        if constexpr (requires { activation.check(); }) activation.check();
        allocate(o.experts, o.features, o.hidden, o.outputs == 0 ? o.features : o.outputs, o.bias);
        detail::draw_uniform(gate, o.seed, "bank.gate");
        detail::draw_uniform(up, o.seed, "bank.up");
        detail::draw_uniform(down, o.seed, "bank.down");
    }

    index_t features() const { return up.inputs(); }
    index_t hidden() const { return up.outputs(); }
    index_t experts() const { return up.groups(); }
    index_t outputs() const { return down.outputs(); }

    // The instructions that the products of this bank run on with backend B.
    template <class B>
    static const char* kernel_name() {
        return product_name<B, T, std::remove_cvref_t<decltype(std::declval<const weights&>().packed())>>();
    }

    struct saved {
        matrix_view<T> hidden, gate, up;  // [R,H] h and the arguments of the activation
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        const saved kept = expand(b, s, plan);
        contract(b, plan, kept.hidden, rows);
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, G& g) const {
        const matrix_view<T> dh = b.scratch().template take<T>(plan.last_row(), hidden());
        contract_backward(b, plan, d_rows, kept.hidden, dh, g);
        expand_backward(b, s, plan, dh, d, kept, g);
    }

    // The two halves, for banks that change h in between. G is an ffn_bank, or no_gradient where the weights are
    // frozen.

    // x -> h
    template <class B>
    saved expand(B& b, const routing<T>& s, const plan_view& plan) const {
        using K = kernels_of<B>;
        const row_groups by_token{plan.offset, plan.token};
        const index_t count = plan.last_row();
        saved kept;
        kept.hidden = s.memory->template take<T>(count, hidden());
        if (s.recording) {
            kept.up = s.memory->template take<T>(count, hidden());
            if constexpr (is_gated<Activation>) kept.gate = s.memory->template take<T>(count, hidden());
        }
        if constexpr (is_gated<Activation>) {
            K::grouped_gated_activation(b, by_token, s.in().x, gate.packed(), up.packed(), gate_bias, up_bias,
                                        activation, kept.hidden, kept.gate, kept.up);
        } else {
            K::grouped_activation(b, by_token, s.in().x, up.packed(), up_bias, activation, kept.hidden, kept.up);
        }
        return kept;
    }

    // h -> rows
    template <class B>
    void contract(B& b, const plan_view& plan, input_view<T> h, matrix_view<T> rows) const {
        kernels_of<B>::grouped_linear(b, {plan.offset, {}}, h, down.packed(), down_bias, rows);
    }

    // Writes dh.
    template <class B, class G>
    void contract_backward(B& b, const plan_view& plan, matrix_view<const T> d_rows, input_view<T> h, matrix_view<T> dh,
                           G& g) const {
        using K = kernels_of<B>;
        const row_groups by_row{plan.offset, {}};
        if constexpr (learns<G>) {
            K::grouped_weight_gradient(b, by_row, d_rows, h, g.down);
            if (down_bias.size() != 0) K::grouped_bias_gradient(b, by_row, d_rows, g.down_bias.view());
        }
        K::grouped_input_gradient(b, by_row, d_rows, down.packed(), dh, false);
    }

    // Adds to d.x; dh is overwritten.
    template <class B, class G>
    void expand_backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> dh, adjoint<T>& d,
                         const saved& kept, G& g) const {
        using K = kernels_of<B>;
        const row_groups by_row{plan.offset, {}};
        const matrix_view<T> dx = b.scratch().template take<T>(plan.last_row(), features());
        if constexpr (is_gated<Activation>) {
            const matrix_view<T> d_gate = b.scratch().template take<T>(plan.last_row(), hidden());
            K::gated_activation_gradient(b, by_row, kept.gate, kept.up, dh, activation, d_gate, dh);
            if constexpr (learns<G>) add_weights(b, plan, s, d_gate, g.gate, g.gate_bias);
            K::grouped_input_gradient(b, by_row, d_gate, gate.packed(), dx, false);
        } else {
            K::activation_gradient(b, by_row, kept.up, activation, dh);
        }
        if constexpr (learns<G>) add_weights(b, plan, s, dh, g.up, g.up_bias);
        K::grouped_input_gradient(b, by_row, dh, up.packed(), dx, is_gated<Activation>);
        K::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    // Gradients are plain whatever the storage of the weights.
    auto make_gradient() const
        requires(Storage::trained && !std::is_same_v<Storage, same_scalar>)
    {
        using plain = ffn_bank<T, Activation>;
        plain zeros(typename plain::unset{}, activation);
        zeros.allocate(experts(), features(), hidden(), outputs(), up_bias.size() != 0);
        return zeros;
    }

    template <class V, class... P>
        requires(Storage::trained)
    static void parameters(V&& v, P&... p) {
        tensors(v, p...);
    }
    template <class V, class P>
        requires(!Storage::trained)
    static void state(V&& v, P& p) {
        tensors(v, p);
    }

    template <class V, class... P>
    static void tensors(V&& v, P&... p) {
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
    template <class, class, class>
    friend class ffn_bank;

    struct unset {};
    ffn_bank(unset, const Activation& act) : activation(act) {}

    void allocate(index_t experts, index_t features, index_t hidden, index_t outputs, bool bias) {
        up = weights(experts, hidden, features);
        down = weights(experts, outputs, hidden);
        if constexpr (is_gated<Activation>) gate = weights(experts, hidden, features);
        if (!bias) return;
        if constexpr (is_gated<Activation>) gate_bias = matrix<T>(experts, hidden);
        up_bias = matrix<T>(experts, hidden);
        down_bias = matrix<T>(experts, outputs);
    }

    template <class G>
    static constexpr bool learns = !std::is_same_v<G, no_gradient>;

    template <class B>
    static void add_weights(B& b, const plan_view& plan, const routing<T>& s, matrix_view<const T> d_argument,
                            panels<T>& weight, matrix<T>& bias) {
        using K = kernels_of<B>;
        K::grouped_weight_gradient(b, {plan.offset, plan.token}, d_argument, s.in().x, weight);
        if (bias.size() != 0) K::grouped_bias_gradient(b, {plan.offset, {}}, d_argument, bias.view());
    }
};

// The gated kind of Mixtral, DeepSeek and Qwen: silu(g) * u.
template <class T, class Storage = same_scalar>
using swiglu_bank = ffn_bank<T, gated<silu>, Storage>;

// gelu_tanh(g) * u: Gemma.
template <class T, class Storage = same_scalar>
using geglu_bank = ffn_bank<T, gated<gelu_tanh>, Storage>;

// relu(g) * u: SmallThinker.
template <class T, class Storage = same_scalar>
using reglu_bank = ffn_bank<T, gated<relu>, Storage>;

// The plain kinds: Switch (ReLU), Phixtral (GELU).
template <class T, class Storage = same_scalar>
using relu_bank = ffn_bank<T, relu, Storage>;
template <class T, class Storage = same_scalar>
using gelu_bank = ffn_bank<T, gelu, Storage>;
template <class T, class Storage = same_scalar>
using silu_bank = ffn_bank<T, silu, Storage>;

MOE_END
