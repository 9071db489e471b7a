// gate: a gate with several columns per expert, pooled to one logit each
// SPDX-License-Identifier: Apache-2.0
//
//     pooling::mean          logits[e] = mean of the columns of expert e
//     pooling::max           logits[e] = the largest of them
//     pooling::log_sum_exp   logits[e] = log of the sum of their exponentials
//
// Source: several prototypes per expert: RouterRetriever (cosine_gate, mean in the paper, max in its code); categories
// that map to experts: Composition of Experts (log_sum_exp in front of a softmax adds the categories' probabilities);
// components of a mixture per expert.
// edges         an expert without columns has the logit -inf: never chosen; a NaN column spoils its expert's logit,
//               with `max` as well; +inf gives +inf
// errors        value_error unless experts is positive and every entry of expert_of_column lies in [0, experts);
//               shape_error unless there is one entry per column of the inner gate
// gradient      mean: equal shares; max: to the first largest column; log_sum_exp: in proportion to the exponentials
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

enum class pooling { mean, max, log_sum_exp };

struct pooled_gate_options {
    index_t experts = 0;
    std::span<const index_t> expert_of_column = {};  // copied
    pooling how = pooling::mean;
};

template <class Gate>
struct pooled_gate {
    using role = gate_step;
    using scalar = typename Gate::scalar;
    using T = scalar;
    static constexpr const char* name = "pooled_gate";

    static_assert(detail::has_role<Gate, gate_step>,
                  "moe::pooled_gate: the first part must be a gate, e.g. moe::cosine_gate<float>");

    Gate gate;
    pooling how;

    pooled_gate(Gate g, pooled_gate_options o)
        : gate(std::move(g)), how(o.how), experts_(o.experts), expert_(o.expert_of_column.size()),
          count_(static_cast<std::size_t>(o.experts < 0 ? 0 : o.experts)) {
        if (o.experts < 1) throw_value("pooled_gate.experts", "at least 1", std::to_string(o.experts));
        detail::require_size("pooled_gate.expert_of_column", o.expert_of_column,
                             static_cast<std::size_t>(gate.columns()));
        for (std::size_t m = 0; m < expert_.size(); ++m) {
            const index_t e = o.expert_of_column[m];
            if (e < 0 || e >= experts_) {
                throw_value(std::string("pooled_gate.expert_of_column[") + std::to_string(m) + "]",
                            std::string("0 to ") + std::to_string(experts_ - 1), std::to_string(e));
            }
            expert_[m] = e;
            ++count_[static_cast<std::size_t>(e)];
        }
    }

    // An expert without a column is excluded.
    part_traits traits() const {
        part_traits t = traits_of(gate);
        t.excludes = t.excludes || std::find(count_.data(), count_.data() + count_.size(), 0) != count_.data() + count_.size();
        return t;
    }

    index_t features() const { return gate.features(); }
    index_t columns() const { return experts_; }

    void check(const batch<T>& in, index_t, index_t) const {
        if constexpr (requires { gate.check(in, index_t{1}, index_t{1}); }) {
            gate.check(in, gate.columns(), gate.columns());
        }
    }

    template <class B>
    struct kept {
        matrix_view<const T> inner;  // [T,M]
        detail::saved_t<Gate, B, T> gate;
    };

    template <class B>
    kept<B> forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        const matrix_view<T> inner = s.memory->template take<T>(s.tokens(), gate.columns());
        kept<B> saved;
        saved.gate = detail::value_of([&] { return gate.forward(b, s, inner); });
        saved.inner = inner;
        const matrix_view<T> sum = b.scratch().template take<T>(s.tokens(), experts_);
        kernels_of<B>::for_rows(b, s.tokens(),
                                [=, this](index_t t) { pool_row(inner.row(t), logits.row(t), sum.row(t)); });
        return saved;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, const kept<B>& saved,
                  G& g) const {
        const matrix_view<T> d_inner = b.scratch().template take<T>(saved.inner.rows, saved.inner.cols);
        kernels_of<B>::for_rows(b, before.tokens(), [=, this, inner = saved.inner, logits = after.logits,
                                                     d_logits = d.logits](index_t t) {
            spread_row(inner.row(t), logits.row(t), d_logits.row(t), d_inner.row(t));
        });
        routing<T> after_gate = after;
        after_gate.logits = saved.inner;
        adjoint<T> d_gate = d;
        d_gate.logits = d_inner;
        detail::call_backward(gate, saved.gate, g, b, before, after_gate, d_gate);
    }
    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, const kept<B>& saved) const {
        no_gradient none;
        backward(b, before, after, d, saved, none);
    }

    gradient_t<Gate> make_gradient() const { return moe::make_gradient(gate); }

    template <class V, class First, class... P>
        requires(has_parameters<Gate>)
    static void parameters(V&& v, First& first, P&... p) {
        Gate::parameters(v, inner_of(first), inner_of(p)...);
    }
    template <class V, class... P>
        requires(has_state<Gate>)
    static void state(V&& v, P&... p) {
        Gate::state(v, inner_of(p)...);
    }

private:
    // The gate in a pooled gate; its gradient is the gate's own.
    template <class P>
    static auto& inner_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, pooled_gate>) return p.gate;
        else return p;
    }

    index_t expert_of(index_t m) const { return expert_[static_cast<std::size_t>(m)]; }
    T share_of(index_t e) const { return T(1) / static_cast<T>(count_[static_cast<std::size_t>(e)]); }

    MOE_FN static bool finite(T z) { return z - z == T(0); }

    MOE_FN void pool_row(const T* inner, T* logits, T* sum) const {
        const index_t columns = static_cast<index_t>(expert_.size());
        const T nothing = -std::numeric_limits<T>::infinity();
        for (index_t e = 0; e < experts_; ++e) {
            logits[e] = how == pooling::mean && count_[static_cast<std::size_t>(e)] > 0 ? T(0) : nothing;
            sum[e] = T(0);
        }
        for (index_t m = 0; m < columns; ++m) {
            const index_t e = expert_of(m);
            if (how == pooling::mean) logits[e] += inner[m] * share_of(e);
            else logits[e] = inner[m] <= logits[e] || logits[e] != logits[e] ? logits[e] : inner[m];
        }
        if (how != pooling::log_sum_exp) return;
        for (index_t m = 0; m < columns; ++m) {
            const index_t e = expert_of(m);
            if (finite(logits[e])) sum[e] += std::exp(inner[m] - logits[e]);
        }
        for (index_t e = 0; e < experts_; ++e) {
            if (finite(logits[e])) logits[e] += std::log(sum[e]);
        }
    }

    MOE_FN void spread_row(const T* inner, const T* logits, const T* d_logits, T* d_inner) const {
        const index_t columns = static_cast<index_t>(expert_.size());
        for (index_t m = 0; m < columns; ++m) {
            const index_t e = expert_of(m);
            if (how == pooling::mean) d_inner[m] = d_logits[e] * share_of(e);
            else if (excluded(inner[m])) d_inner[m] = T(0);
            else if (how == pooling::log_sum_exp) d_inner[m] = d_logits[e] * std::exp(inner[m] - logits[e]);
            else d_inner[m] = inner[m] == logits[e] && !repeated(inner, m) ? d_logits[e] : T(0);
        }
    }

    // Whether an earlier column of the same expert has the same value.
    MOE_FN bool repeated(const T* inner, index_t m) const {
        for (index_t before = 0; before < m; ++before) {
            if (expert_of(before) == expert_of(m) && inner[before] == inner[m]) return true;
        }
        return false;
    }

    index_t experts_;
    buffer<index_t> expert_;  // [M]
    buffer<index_t> count_;   // [E] columns of an expert
};

MOE_END
