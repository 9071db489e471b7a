// tests/docs/roles: the smallest part of every role; docs/contracts.md shows them word for word
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>

#include "moe/moe.hpp"

namespace mine {

using moe::index_t;
using moe::matrix_view;

template <class T>
struct weighted_columns {
    using role = moe::gate_step;
    using scalar = T;

    moe::matrix<T> weight;  // [1,E]

    explicit weighted_columns(index_t experts) : weight(1, experts) { std::fill_n(weight.data(), experts, T(1)); }

    index_t features() const { return weight.cols(); }
    index_t columns() const { return weight.cols(); }

    template <class B>
    void forward(B& b, const moe::routing<T>& s, matrix_view<T> logits) const {
        const auto x = s.in().features;
        const auto w = weight.view();
        moe::kernels_of<B>::for_rows(b, logits.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < logits.cols; ++e) logits(t, e) = w(0, e) * x(t, e);
        });
    }

    template <class B>
    void backward(B&, const moe::routing<T>& before, const moe::routing<T>&, moe::adjoint<T>& d,
                  weighted_columns& gradient) const {
        const auto x = before.in().features;
        for (index_t t = 0; t < x.rows; ++t) {
            for (index_t e = 0; e < x.cols; ++e) {
                gradient.weight(0, e) += d.logits(t, e) * x(t, e);
                d.features(t, e) += d.logits(t, e) * weight(0, e);
            }
        }
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
    }
};

struct square {
    using role = moe::score_step;
    static constexpr const char* name = "square";
    static constexpr bool monotone = false;
    static constexpr bool non_negative = true;

    template <class B, class T>
    void forward(B& b, const moe::routing<T>&, matrix_view<T> scores) const {
        moe::kernels_of<B>::for_rows(b, scores.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) *= scores(t, e);
        });
    }

    template <class B, class T>
    void backward(B& b, const moe::routing<T>& before, const moe::routing<T>&, moe::adjoint<T>& d) const {
        const auto s = before.scores;
        moe::kernels_of<B>::for_rows(b, s.rows, [s, ds = d.scores](index_t t) {
            for (index_t e = 0; e < s.cols; ++e) ds(t, e) *= 2 * s(t, e);
        });
    }
};

struct never {
    using role = moe::key_step;
    static constexpr const char* name = "never";
    static constexpr bool excludes = true;             // finite keys may become -inf
    static constexpr bool expert_equivariant = false;  // one expert is told apart by its number

    index_t expert = 0;

    template <class B, class T>
    void forward(B& b, const moe::routing<T>&, matrix_view<T> keys) const {
        moe::kernels_of<B>::for_rows(b, keys.rows, [keys, e = expert](index_t t) {
            keys(t, e) = -std::numeric_limits<T>::infinity();
        });
    }
};

struct best_one {
    using role = moe::selector_step;
    static constexpr const char* name = "best_one";

    template <class T>
    std::int64_t width(const moe::batch<T>&, index_t) const {
        return 1;
    }

    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::choice c) const {
        moe::kernels_of<B>::for_rows(b, s.tokens(), [keys = s.keys, c](index_t t) {
            moe::best_of_row(keys.row(t), keys.cols, &c.expert[std::size_t(t)], 1);
        });
    }
};

struct at_most {
    using role = moe::route_step;
    static constexpr const char* name = "at_most";

    double limit = 1.0;

    template <class B, class T>
    void forward(B&, const moe::routing<T>&, std::span<T> weight) const {
        for (T& w : weight) w = w > T(limit) ? T(limit) : w;
    }

    template <class B, class T>
    void backward(B&, const moe::routing<T>& before, const moe::routing<T>&, moe::adjoint<T>& d) const {
        for (std::size_t i = 0; i < d.weight.size(); ++i) {
            if (before.routes.weight[i] > T(limit)) d.weight[i] = T(0);
        }
    }
};

template <class T>
struct scaled_bank {
    using role = moe::experts_part;
    using scalar = T;

    moe::matrix<T> factor;  // [E,D]

    scaled_bank(index_t experts, index_t features) : factor(experts, features) {
        std::fill_n(factor.data(), factor.size(), T(2));
    }

    index_t features() const { return factor.cols(); }
    index_t experts() const { return factor.rows(); }

    template <class B>
    void forward(B&, const moe::routing<T>& s, const moe::plan_view& plan, matrix_view<T> rows) const {
        for_each_row(plan, [&](index_t e, index_t r, index_t token) {
            for (index_t j = 0; j < features(); ++j) rows(r, j) = factor(e, j) * s.in().x(token, j);
        });
    }

    template <class B>
    void backward(B&, const moe::routing<T>& s, const moe::plan_view& plan, matrix_view<const T> d_rows,
                  moe::adjoint<T>& d, scaled_bank& gradient) const {
        for_each_row(plan, [&](index_t e, index_t r, index_t token) {
            for (index_t j = 0; j < features(); ++j) {
                gradient.factor(e, j) += d_rows(r, j) * s.in().x(token, j);
                d.x(token, j) += d_rows(r, j) * factor(e, j);
            }
        });
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("factor", p.factor...);
    }

private:
    template <class F>
    void for_each_row(const moe::plan_view& plan, const F& f) const {
        for (index_t e = 0; e < experts(); ++e) {
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) f(e, r, plan.token[std::size_t(r)]);
        }
    }
};

struct doubled_sum {
    using role = moe::combine_part;

    index_t outputs(index_t bank_outputs) const { return bank_outputs; }

    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, const moe::plan_view& plan, moe::input_view<T> rows,
                 matrix_view<T> y) const {
        moe::kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, y, false);
        moe::kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, y, true);
    }

    template <class B, class T>
    void backward(B& b, const moe::routing<T>& s, const moe::plan_view& plan, moe::input_view<T> rows,
                  moe::input_view<T> dy, matrix_view<T> d_rows, moe::adjoint<T>& d) const {
        const matrix_view<T> twice = b.scratch().template take<T>(dy.rows, dy.cols);
        moe::kernels_of<B>::copy(b, dy, twice);
        moe::kernels_of<B>::add(b, dy, twice);
        moe::kernels_of<B>::weighted_sum_gradient(b, plan, rows, s.routes.weight, twice, d_rows, d.weight);
    }
};

template <class T>
struct pass_on {
    using role = moe::shared_part;
    using scalar = T;

    index_t width = 0;

    index_t features() const { return width; }
    index_t outputs() const { return width; }

    template <class B>
    void forward(B& b, const moe::routing<T>& s, matrix_view<T> y) const {
        moe::kernels_of<B>::for_rows(b, y.rows, [&in = s.in(), y](index_t t) {
            for (index_t j = 0; in.live(t) && j < y.cols; ++j) y(t, j) += in.x(t, j);
        });
    }

    template <class B>
    void backward(B& b, const moe::routing<T>& s, matrix_view<const T> dy, moe::adjoint<T>& d) const {
        moe::kernels_of<B>::for_rows(b, dy.rows, [&in = s.in(), dy, dx = d.x](index_t t) {
            for (index_t j = 0; in.live(t) && j < dy.cols; ++j) dx(t, j) += dy(t, j);
        });
    }
};

struct row_counter {
    using role = moe::observer_part;

    std::atomic<long>* rows_seen = nullptr;

    template <class T>
    void forward(const moe::routing<T>&, const moe::plan_view& plan, matrix_view<const T>) const {
        *rows_seen += plan.rows();
    }

    template <class T>
    void backward(const moe::routing<T>&, const moe::plan_view&, matrix_view<const T>) const {}
};

struct small_logits {
    static constexpr const char* name = "small_logits";

    double coefficient = 1.0;

    template <class B, class T>
    double operator()(B&, moe::tape<T>& tape) const {
        const moe::routing<T>& s = tape.routing();
        double sum = 0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (!s.in().live(t)) continue;
            for (index_t e = 0; e < s.logits.cols; ++e) {
                sum += double(s.logits(t, e)) * double(s.logits(t, e));
                tape.d.logits(t, e) += T(2 * coefficient) * s.logits(t, e);
            }
        }
        return coefficient * sum;
    }
};

struct counting_tag {};

struct counting_backend {
    using tag = counting_tag;
    using memory = moe::host_memory;

    long products = 0;

    moe::arena& scratch() { return scratch_; }

private:
    moe::arena scratch_;
};

}  // namespace mine

template <>
struct moe::kernels<mine::counting_tag> : moe::kernels<moe::reference_tag> {
    template <class B, class T>
    static void grouped_linear(B& b, const row_groups& rows, input_view<T> a, const panels<T>& w, input_view<T> bias,
                               matrix_view<T> c) {
        ++b.products;
        moe::kernels<moe::reference_tag>::grouped_linear<B, T>(b, rows, a, w, bias, c);
    }
};
