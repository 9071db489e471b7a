// testing/backend_laws: what every backend keeps: each row once, plans, products and sums like the reference, adjoints
// SPDX-License-Identifier: Apache-2.0
//
//     CHECK(backend_laws<float>(my_backend) == no_violations);
//
// Compared within a tolerance; the sums of an adjoint identity have another order. For parts on a backend: laws(part, {}, b).
#pragma once

#include "moe/testing/common_laws.hpp"
#include "moe/testing/plan_laws.hpp"
#include "moe/testing/stage.hpp"

MOE_BEGIN
namespace testing {

namespace detail {

// Activations whose values tell gate from up and argument from result; any M and V.
struct probe_activation {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return z * z - z;
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        return dh * (V(2) * z - V(1));
    }
};
struct probe_gated {
    template <class V>
    struct both {
        V gate, up;
    };
    template <class M, class V>
    MOE_FN V value(V g, V u) const {
        return g * g * u;
    }
    template <class M, class V>
    MOE_FN both<V> gradient(V g, V u, V dh) const {
        return {V(2) * g * u * dh, g * g * dh};
    }
};

template <class T>
struct verbs {
    double tolerance;

    struct result {
        const char* verb;
        std::vector<T> values;
    };

    // Every verb that computes, on the sample's slots grouped by expert: its x [T,D] times weights [E,3,D] that count.
    template <class B>
    struct problem {
        stage<T> g;
        plan_view plan;
        panels<T> w, w_gate, dw;
        matrix<T> bias, rows, h, z, h_gated, z_gate, z_up, y, d_rows, d_gate, d_up, dx, db, dz;
        std::vector<T> d_weight;

        problem(B& b, const sample& s)
            : g(s, call{}), w(s.experts, 3, s.x.cols), w_gate(s.experts, 3, s.x.cols), dw(s.experts, 3, s.x.cols),
              bias(s.experts, 3) {
            poison(b.scratch(), 0xCD);
            plan = kernels_of<B>::build_plan(b, s.tokens, s.experts, g.offset, g.expert, g.memory);
            for (index_t e = 0; e < s.experts; ++e) {
                for (index_t n = 0; n < 3; ++n) {
                    bias(e, n) = T((e * 3 + n * 5) % 7 - 3);
                    for (index_t k = 0; k < s.x.cols; ++k) {
                        w(e, n, k) = T((e * 5 + n * 3 + k * 7) % 11 - 5);
                        w_gate(e, n, k) = T((e * 7 + n * 5 + k * 3) % 13 - 6);
                    }
                }
            }
            rows = h = z = h_gated = z_gate = z_up = d_rows = d_gate = d_up = filled<T>(plan.rows(), 3, 77);
            y = filled<T>(s.tokens, 3, 77);
            dx = filled<T>(plan.rows(), s.x.cols, 77);
            db = filled<T>(s.experts, 3, 1);
            for (T& v : dw.span()) v = T(1);
            d_weight.assign(g.expert.size(), T(1));
            run(b, s);
        }

        void run(B& b, const sample& s) {
            using K = kernels_of<B>;
            const matrix<T> dy = upstream_matrix<T>(s.tokens, 3);
            const row_groups by_token{plan.offset, plan.token}, by_row{plan.offset, {}};
            const std::span<const T> weight(g.weight);
            K::template grouped_linear<B, T>(b, by_token, g.x.view(), w, {}, rows.view());
            K::template grouped_activation<B, T>(b, by_token, g.x.view(), w, bias.view(), probe_activation{}, h.view(),
                                                 z.view());
            K::template grouped_gated_activation<B, T>(b, by_token, g.x.view(), w_gate, w, bias.view(), bias.view(),
                                                       probe_gated{}, h_gated.view(), z_gate.view(), z_up.view());
            K::template weighted_sum<B, T>(b, plan, rows.view(), weight, y.view(), false);
            K::template weighted_sum_gradient<B, T>(b, plan, rows.view(), weight, dy.view(), d_rows.view(),
                                                    std::span<T>(d_weight));
            K::template grouped_input_gradient<B, T>(b, by_row, d_rows.view(), w, dx.view(), false);
            K::template grouped_weight_gradient<B, T>(b, by_token, d_rows.view(), g.x.view(), dw);
            K::template grouped_bias_gradient<B, T>(b, by_row, d_rows.view(), db.view());
            dz = d_rows;
            K::template activation_gradient<B, T>(b, by_row, z.view(), probe_activation{}, dz.view());
            K::template gated_activation_gradient<B, T>(b, by_row, z_gate.view(), z_up.view(), d_rows.view(),
                                                        probe_gated{}, d_gate.view(), d_up.view());
        }

        std::vector<result> results() const {
            const auto of = [](const auto& m) { return std::vector<T>(m.span().begin(), m.span().end()); };
            return {{"grouped_linear", of(rows)},
                    {"grouped_activation", of(h)},
                    {"the argument of grouped_activation", of(z)},
                    {"grouped_gated_activation", of(h_gated)},
                    {"the gate of grouped_gated_activation", of(z_gate)},
                    {"the up of grouped_gated_activation", of(z_up)},
                    {"weighted_sum", of(y)},
                    {"weighted_sum_gradient", of(d_rows)},
                    {"the weights of weighted_sum_gradient", d_weight},
                    {"grouped_input_gradient", of(dx)},
                    {"grouped_weight_gradient", of(dw)},
                    {"grouped_bias_gradient", of(db)},
                    {"activation_gradient", of(dz)},
                    {"the gate of gated_activation_gradient", of(d_gate)},
                    {"the up of gated_activation_gradient", of(d_up)}};
        }
    };

    template <class B>
    std::string unlike_reference(B& b, const sample& s) const {
        if (!is_moderate(s)) return "";
        reference plain_loops;
        const std::vector<result> wanted = problem<reference>(plain_loops, s).results();
        const std::vector<result> got = problem<B>(b, s).results();
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            for (std::size_t j = 0; j < wanted[i].values.size(); ++j) {
                const double a = static_cast<double>(wanted[i].values[j]), v = static_cast<double>(got[i].values[j]);
                if (close_to(v, a, tolerance)) continue;
                return std::string(wanted[i].verb) + "[" + std::to_string(j) + "] is " + number_text(v) +
                       ", the reference has " + number_text(a);
            }
        }
        return "";
    }

    // <y, dy> = <rows, d_rows> = <x of every row, dx> = <w, dw>
    template <class B>
    std::string not_adjoint(B& b, const sample& s) const {
        if (!is_moderate(s)) return "";
        const problem<B> p(b, s);
        double y = 0, rows = 0, x = 0, w = 0;
        for (std::size_t i = 0; i < p.y.size(); ++i) y += upstream(i) * double(p.y.data()[i]);
        for (std::size_t i = 0; i < p.rows.size(); ++i) rows += double(p.rows.data()[i]) * double(p.d_rows.data()[i]);
        for (index_t r = 0; r < p.dx.rows(); ++r) {
            for (index_t k = 0; k < p.dx.cols(); ++k)
                x += double(p.dx(r, k)) * double(p.g.x(p.plan.token[std::size_t(r)], k));
        }
        // dw started from ones.
        for (std::size_t i = 0; i < p.w.span().size(); ++i) w += double(p.w.span()[i]) * (double(p.dw.span()[i]) - 1);
        const auto unequal = [&](const char* name, double value) {
            return close_to(y, value, 100 * tolerance)
                       ? ""
                       : "<y, dy> is " + number_text(y) + ", " + name + " is " + number_text(value);
        };
        for (const auto& [name, value] :
             {std::pair{"<rows, d_rows>", rows}, std::pair{"<x, dx>", x}, std::pair{"<w, dw>", w}}) {
            const std::string found = unequal(name, value);
            if (!found.empty()) return found;
        }
        return "";
    }
};

template <class B>
std::string missed_row(B& b, const sample& s) {
    std::vector<int> seen(std::size_t(s.tokens), 0);
    kernels_of<B>::for_rows(b, s.tokens, [count = seen.data()](index_t i) { ++count[i]; });
    for (std::size_t i = 0; i < seen.size(); ++i) {
        if (seen[i] != 1) return "for_rows ran row " + std::to_string(i) + " " + std::to_string(seen[i]) + " times";
    }
    return "";
}

}  // namespace detail

template <class T, class B>
report backend_laws(B& b, std::uint64_t seed = 1) {
    const detail::verbs<T> verbs{std::is_same_v<T, double> ? 1e-12 : 1e-4};
    const std::vector<law> laws{{"rows", [&](const sample& s) { return detail::missed_row(b, s); }},
                                {"products and sums", [&](const sample& s) { return verbs.unlike_reference(b, s); }},
                                {"adjoint identity", [&](const sample& s) { return verbs.not_adjoint(b, s); }}};
    const sample_shape shape{.experts = 5, .features = 9, .slots = 2};
    report found = search("the backend", laws, samples_of(shape, seed), {"x", "weights"});
    const report plans = plan_laws(b, seed);
    found.violations.insert(found.violations.end(), plans.violations.begin(), plans.violations.end());
    return found;
}

}  // namespace testing
MOE_END
