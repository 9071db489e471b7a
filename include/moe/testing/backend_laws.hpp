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

template <class T>
struct verbs {
    double tolerance;

    // The sample's slots, grouped by expert; its x [T,D] times a weight [E,N,D] that counts.
    template <class B>
    struct problem {
        stage<T> g;
        plan_view plan;
        panels<T> w;
        matrix<T> rows, y, d_rows, dx;
        std::vector<T> d_weight;

        problem(B& b, const sample& s) : g(s, call{}), w(s.experts, 3, s.x.cols) {
            poison(b.scratch(), 0xCD);
            plan = kernels_of<B>::build_plan(b, s.tokens, s.experts, g.offset, g.expert, g.memory);
            for (index_t e = 0; e < s.experts; ++e) {
                for (index_t n = 0; n < 3; ++n) {
                    for (index_t k = 0; k < s.x.cols; ++k) w(e, n, k) = T((e * 5 + n * 3 + k * 7) % 11 - 5);
                }
            }
            rows = filled<T>(plan.rows(), 3, 77);
            y = filled<T>(s.tokens, 3, 77);
            d_rows = filled<T>(plan.rows(), 3, 77);
            dx = filled<T>(plan.rows(), s.x.cols, 77);
            d_weight.assign(g.expert.size(), T(0));
            const matrix<T> dy = upstream_matrix<T>(s.tokens, 3);
            using K = kernels_of<B>;
            K::template grouped_linear<B, T>(b, {plan.offset, plan.token}, g.x.view(), w, {}, rows.view());
            K::template weighted_sum<B, T>(b, plan, rows.view(), std::span<const T>(g.weight), y.view(), false);
            K::template weighted_sum_gradient<B, T>(b, plan, rows.view(), std::span<const T>(g.weight), dy.view(),
                                                    d_rows.view(), std::span<T>(d_weight));
            K::template grouped_input_gradient<B, T>(b, {plan.offset, {}}, d_rows.view(), w, dx.view(), false);
        }
    };

    std::string differs(const char* name, std::span<const T> wanted, std::span<const T> got) const {
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const double a = static_cast<double>(wanted[i]), b = static_cast<double>(got[i]);
            if (!close_to(a, b, tolerance)) {
                return std::string(name) + "[" + std::to_string(i) + "] is " + number_text(b) + ", the reference has " +
                       number_text(a);
            }
        }
        return "";
    }

    template <class B>
    std::string unlike_reference(B& b, const sample& s) const {
        if (!is_moderate(s)) return "";
        reference plain_loops;
        const problem<reference> wanted(plain_loops, s);
        const problem<B> got(b, s);
        std::string found = differs("grouped_linear", wanted.rows.span(), got.rows.span());
        if (found.empty()) found = differs("weighted_sum", wanted.y.span(), got.y.span());
        if (found.empty()) found = differs("weighted_sum_gradient", wanted.d_rows.span(), got.d_rows.span());
        if (found.empty()) found = differs("its weights", wanted.d_weight, got.d_weight);
        if (found.empty()) found = differs("grouped_input_gradient", wanted.dx.span(), got.dx.span());
        return found;
    }

    // <y, dy> = <rows, d_rows> = <x of every row, dx>
    template <class B>
    std::string not_adjoint(B& b, const sample& s) const {
        if (!is_moderate(s)) return "";
        const problem<B> p(b, s);
        double y = 0, rows = 0, x = 0;
        for (std::size_t i = 0; i < p.y.size(); ++i) y += upstream(i) * double(p.y.data()[i]);
        for (std::size_t i = 0; i < p.rows.size(); ++i) rows += double(p.rows.data()[i]) * double(p.d_rows.data()[i]);
        for (index_t r = 0; r < p.dx.rows(); ++r) {
            for (index_t k = 0; k < p.dx.cols(); ++k)
                x += double(p.dx(r, k)) * double(p.g.x(p.plan.token[std::size_t(r)], k));
        }
        if (!close_to(y, rows, 100 * tolerance))
            return "<y, dy> is " + number_text(y) + ", <rows, d_rows> is " + number_text(rows);
        if (!close_to(y, x, 100 * tolerance)) return "<y, dy> is " + number_text(y) + ", <x, dx> is " + number_text(x);
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
