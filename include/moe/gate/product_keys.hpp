// gate: features [T,F] -> logits [T,2 sqrt(E)], two small sets of keys whose pairs are the experts
// SPDX-License-Identifier: Apache-2.0
//
//     q = features, or query features;   n = sqrt(E)
//     logits[t][i]     = <first half of q[t],  first[i]>       i in [0, n)
//     logits[t][n + j] = <second half of q[t], second[j]>      j in [0, n)
//
// and expert i n + j has the score logits[i] + logits[n + j]: the selector product_keys finds the best pairs without
// computing them all. Source: Lample et al. 2019, PEER (He 2024). Where both sets of keys see
// the whole of x (Doge), the gate is a linear_gate with 2 n columns.
// parameters    first, second [1,n,Q/2]; query [1,Q,F] or empty
// errors        value_error unless features are positive, experts is a positive square, and the width that is halved is
//               even and positive
// gradient      of the linear maps
// NaN           stays in its token
// cost          2 T Q sqrt(E) flops, and 2 T F Q with a query map
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct product_keys_gate_options {
    index_t features = 0;
    index_t experts = 0;  // a square
    index_t query = 0;    // width of a learned query map, even; 0: none, the features are halved
    std::uint64_t seed = 0;
};

template <class T>
struct product_keys_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "product_keys_gate";

    panels<T> first;   // [1,n,Q/2]
    panels<T> second;  // [1,n,Q/2]
    panels<T> query;   // [1,Q,F], or empty

    product_keys_gate(product_keys_gate_options o) : features_(o.features) {
        detail::require_positive("product_keys_gate.features", o.features);
        const index_t width = o.query == 0 ? o.features : o.query;
        if (width < 2 || width % 2 != 0) {
            throw_value(o.query == 0 ? "product_keys_gate.features" : "product_keys_gate.query", "an even width",
                        std::to_string(width));
        }
        const index_t n = root_of(o.experts);
        first = panels<T>(1, n, width / 2);
        second = panels<T>(1, n, width / 2);
        detail::draw_uniform(first, o.seed, "product_keys_gate.first");
        detail::draw_uniform(second, o.seed, "product_keys_gate.second");
        if (o.query == 0) return;
        query = panels<T>(1, o.query, o.features);
        detail::draw_uniform(query, o.seed, "product_keys_gate.query");
    }

    index_t features() const { return features_; }
    index_t columns() const { return 2 * first.outputs(); }

    // The query of every token.
    template <class B>
    matrix_view<const T> forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, s.tokens()};
        matrix_view<const T> q = s.in().features;
        if (mapped()) {
            const matrix_view<T> fresh = s.memory->template take<T>(s.tokens(), query.outputs());
            K::template grouped_linear<B, T>(b, {all, {}}, q, query, {}, fresh);
            q = fresh;
        }
        K::template grouped_linear<B, T>(b, {all, {}}, half(q, 0), first, {}, half(logits, 0));
        K::template grouped_linear<B, T>(b, {all, {}}, half(q, 1), second, {}, half(logits, 1));
        return q;
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, matrix_view<const T> q,
                  product_keys_gate& g) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, before.tokens()};
        const row_groups rows{all, {}};
        const matrix_view<T> d_q = mapped() ? b.scratch().template take<T>(q.rows, q.cols) : d.features;
        K::template grouped_weight_gradient<B, T>(b, rows, half(d.logits, 0), half(q, 0), g.first);
        K::template grouped_weight_gradient<B, T>(b, rows, half(d.logits, 1), half(q, 1), g.second);
        K::template grouped_input_gradient<B, T>(b, rows, half(d.logits, 0), first, half(d_q, 0), !mapped());
        K::template grouped_input_gradient<B, T>(b, rows, half(d.logits, 1), second, half(d_q, 1), !mapped());
        if (!mapped()) return;
        K::template grouped_weight_gradient<B, T>(b, rows, d_q, before.in().features, g.query);
        K::template grouped_input_gradient<B, T>(b, rows, d_q, query, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("first", p.first...);
        v("second", p.second...);
        v("query", p.query...);
    }

private:
    bool mapped() const { return query.outputs() != 0; }

    static index_t root_of(index_t experts) {
        index_t n = 1;
        while (std::int64_t{n} * n < experts) ++n;
        if (experts < 1 || std::int64_t{n} * n != experts) {
            throw_value("product_keys_gate.experts", "a square number", std::to_string(experts));
        }
        return n;
    }

    template <class U>
    static matrix_view<U> half(matrix_view<U> m, index_t which) {
        return {m.data + which * (m.cols / 2), m.rows, m.cols / 2, m.stride};
    }

    index_t features_;
};

MOE_END
