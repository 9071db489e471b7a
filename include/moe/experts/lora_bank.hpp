// experts: rows of x [R,D] -> rows [R,Dout], a frozen feed-forward bank with low-rank adapters on its weights
// SPDX-License-Identifier: Apache-2.0
//
//     W x   becomes   W x + alpha / rank * B (A x)      for W_gate, W_up and W_down, each with its own A and B, or
//     without
//
// Source: LoRA (Hu et al. 2021) on the matrices of every expert: MixLoRA 2024, LLaVA-MoLE 2024. B starts at 0, so a
// fresh bank computes what the frozen one does. Gradients exist for A and B only; the frozen weights are state, in any
// storage (experts/weight_storage.hpp); adapters stay in T.
// merged()      the feed-forward bank with W + alpha / rank * B A in place of W
// memory        training keeps what the frozen bank keeps and R * rank for every adapter
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/low_rank_bank.hpp"

MOE_BEGIN

struct lora_options {
    index_t rank = 0;
    double alpha;            // must be given
    bool gate = true;        // which weights get an adapter; gate in gated banks only
    bool up = true;
    bool down = true;
    std::uint64_t seed = 0;  // of A
};

// A and B of one weight [G,N,K]; both empty where the weight has none.
template <class T>
struct lora_adapter {
    panels<T> a;  // [G,rank,K]
    panels<T> b;  // [G,N,rank]

    bool present() const { return a.groups() > 0; }

    template <class W>
    static lora_adapter make(const W& weight, const lora_options& o, const char* name) {
        lora_adapter made{panels<T>(weight.groups(), o.rank, weight.inputs()),
                          panels<T>(weight.groups(), weight.outputs(), o.rank)};
        detail::draw_uniform(made.a, o.seed, name);
        return made;
    }

    // z += factor * B (A x); returns factor * A x [R,rank].
    template <class B>
    matrix_view<T> add_to(B& backend, const row_groups& rows, const row_groups& by_row, input_view<T> x, double factor,
                          matrix_view<T> z, arena& memory) const {
        using K = kernels_of<B>;
        if (!present()) return {};
        const index_t first = by_row.begin(0);
        const index_t last = by_row.end(by_row.groups() - 1);
        const matrix_view<T> inner = memory.template take<T>(last, a.outputs());
        K::grouped_activation(backend, rows, x, a, {}, scaled_linear{factor}, inner, {});
        arena_frame scratch(backend.scratch());
        const matrix_view<T> term = backend.scratch().template take<T>(last, b.outputs());
        K::grouped_linear(backend, by_row, inner, b, {}, term);
        K::add(backend, term.middle_rows(first, last - first), z.middle_rows(first, last - first));
        return inner;
    }

    // Adds to g and, [R,K], to dx.
    template <class B, class G>
    void backward(B& backend, const row_groups& rows, const row_groups& by_row, input_view<T> x,
                  matrix_view<const T> dz, matrix_view<const T> inner, double factor, matrix_view<T> dx, G& g) const {
        using K = kernels_of<B>;
        if (!present()) return;
        arena_frame scratch(backend.scratch());
        const matrix_view<T> d_inner = backend.scratch().template take<T>(inner.rows, inner.cols);
        K::grouped_input_gradient(backend, by_row, dz, b, d_inner, false);
        K::activation_gradient(backend, by_row, inner, scaled_linear{factor}, d_inner);
        if constexpr (!std::is_same_v<G, no_gradient>) {
            K::grouped_weight_gradient(backend, by_row, dz, inner, g.b);
            K::grouped_weight_gradient(backend, rows, d_inner, x, g.a);
        }
        K::grouped_input_gradient(backend, by_row, d_inner, a, dx, true);
    }

    // weight += factor * B A
    void merge_into(panels<T>& weight, double factor) const {
        if (!present()) return;
        for (index_t g = 0; g < weight.groups(); ++g) {
            for (index_t n = 0; n < weight.outputs(); ++n) {
                for (index_t k = 0; k < weight.inputs(); ++k) {
                    T sum = T(0);
                    for (index_t r = 0; r < a.outputs(); ++r) sum += b(g, n, r) * a(g, r, k);
                    weight(g, n, k) += T(factor) * sum;
                }
            }
        }
    }
};

template <class T, class Activation, class Storage = same_scalar>
class lora_bank {
public:
    using role = experts_part;
    using scalar = T;

    struct gradient {
        lora_adapter<T> gate, up, down;
    };

    using frozen_bank = ffn_bank<T, Activation, Storage>;

    frozen_bank bank;
    lora_adapter<T> gate, up, down;

    lora_bank(frozen_bank frozen, const lora_options& o) : bank(std::move(frozen)) {
        detail::require_positive("lora_bank.rank", o.rank);
        if (!(o.alpha > 0.0)) throw_value("lora_bank.alpha", "a number above 0", std::to_string(o.alpha));
        factor_ = o.alpha / double(o.rank);
        if (is_gated<Activation> && o.gate) gate = lora_adapter<T>::make(bank.gate, o, "lora.gate");
        if (o.up) up = lora_adapter<T>::make(bank.up, o, "lora.up");
        if (o.down) down = lora_adapter<T>::make(bank.down, o, "lora.down");
    }

    index_t features() const { return bank.features(); }
    index_t hidden() const { return bank.hidden(); }
    index_t experts() const { return bank.experts(); }
    index_t outputs() const { return bank.outputs(); }
    double factor() const { return factor_; }

    frozen_bank merged() const
        requires std::is_same_v<Storage, same_scalar>
    {
        frozen_bank whole = bank;
        if constexpr (is_gated<Activation>) gate.merge_into(whole.gate, factor_);
        up.merge_into(whole.up, factor_);
        down.merge_into(whole.down, factor_);
        return whole;
    }

    struct saved {
        matrix_view<T> hidden, gate, up;               // [R,H]
        matrix_view<T> inner_gate, inner_up, inner_down;  // [R,rank]
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        using K = kernels_of<B>;
        const row_groups by_token{plan.offset, plan.token};
        const row_groups by_row{plan.offset, {}};
        arena& memory = *s.memory;
        const auto take = [&] { return memory.template take<T>(plan.last_row(), hidden()); };
        saved kept;
        kept.hidden = take();
        kept.up = take();
        K::grouped_linear(b, by_token, s.in().x, bank.up.packed(), bank.up_bias, kept.up);
        kept.inner_up = up.add_to(b, by_token, by_row, s.in().x, factor_, kept.up, memory);
        if constexpr (is_gated<Activation>) {
            kept.gate = take();
            K::grouped_linear(b, by_token, s.in().x, bank.gate.packed(), bank.gate_bias, kept.gate);
            kept.inner_gate = gate.add_to(b, by_token, by_row, s.in().x, factor_, kept.gate, memory);
        }
        activate(b, plan, kept);
        bank.contract(b, plan, kept.hidden, rows);
        kept.inner_down = down.add_to(b, by_row, by_row, kept.hidden, factor_, rows, memory);
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, G& g) const {
        using K = kernels_of<B>;
        const row_groups by_row{plan.offset, {}};
        const auto take = [&](index_t cols) { return b.scratch().template take<T>(plan.last_row(), cols); };
        const matrix_view<T> dh = take(hidden());
        const matrix_view<T> dx = take(features());
        K::grouped_input_gradient(b, by_row, d_rows, bank.down.packed(), dh, false);
        down.backward(b, by_row, by_row, kept.hidden, d_rows, kept.inner_down, factor_, dh,
                      adapter(g, &gradient::down));
        const row_groups by_token{plan.offset, plan.token};
        if constexpr (is_gated<Activation>) {
            const matrix_view<T> d_gate = take(hidden());
            K::gated_activation_gradient(b, by_row, kept.gate, kept.up, dh, bank.activation, d_gate, dh);
            K::grouped_input_gradient(b, by_row, d_gate, bank.gate.packed(), dx, false);
            gate.backward(b, by_token, by_row, s.in().x, d_gate, kept.inner_gate, factor_, dx,
                          adapter(g, &gradient::gate));
        } else {
            K::activation_gradient(b, by_row, kept.up, bank.activation, dh);
        }
        K::grouped_input_gradient(b, by_row, dh, bank.up.packed(), dx, is_gated<Activation>);
        up.backward(b, by_token, by_row, s.in().x, dh, kept.inner_up, factor_, dx, adapter(g, &gradient::up));
        K::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    gradient make_gradient() const { return {zeros(gate), zeros(up), zeros(down)}; }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        if constexpr (is_gated<Activation>) {
            v("gate_a", p.gate.a...);
            v("gate_b", p.gate.b...);
        }
        v("up_a", p.up.a...);
        v("up_b", p.up.b...);
        v("down_a", p.down.a...);
        v("down_b", p.down.b...);
    }
    template <class V, class P>
    static void state(V&& v, P& p) {
        frozen_bank::tensors(v, p.bank);
    }

private:
    template <class B>
    void activate(B& b, const plan_view& plan, const saved& kept) const {
        kernels_of<B>::for_rows(b, plan.rows(), [kept, act = bank.activation, first = plan.first_row()](index_t i) {
            const index_t r = first + i;
            for (index_t n = 0; n < kept.hidden.cols; ++n) {
                if constexpr (is_gated<Activation>) {
                    kept.hidden(r, n) = act.template value<scalar_math>(kept.gate(r, n), kept.up(r, n));
                } else {
                    kept.hidden(r, n) = act.template value<scalar_math>(kept.up(r, n));
                }
            }
        });
    }

    static lora_adapter<T> zeros(const lora_adapter<T>& like) {
        if (!like.present()) return {};
        return {panels<T>(like.a.groups(), like.a.outputs(), like.a.inputs()),
                panels<T>(like.b.groups(), like.b.outputs(), like.b.inputs())};
    }

    static lora_adapter<T>& adapter(gradient& g, lora_adapter<T> gradient::*which) { return g.*which; }
    static no_gradient& adapter(no_gradient& g, lora_adapter<T> gradient::*) { return g; }

    double factor_ = 0.0;
};

MOE_END
