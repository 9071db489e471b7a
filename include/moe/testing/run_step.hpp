// testing/run_step: one step of a router on one sample, as the router would run it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/testing/choose.hpp"
#include "moe/testing/stage.hpp"

MOE_BEGIN
namespace testing::detail {

using moe::detail::call_backward;
using moe::detail::nothing;
using moe::detail::value_of;

[[noreturn]] inline void refuse(const char* what) { throw_value("sample", what, "another one"); }

template <class Part, class T>
void check_sample(const Part& part, const stage<T>& g, index_t experts) {
    if constexpr (requires { part.check(g.in, experts, experts); }) part.check(g.in, experts, experts);
    if constexpr (requires { Part::needs; }) {
        if (const char* missing = moe::detail::missing_need(g.in, Part::needs)) refuse(missing);
    }
}

template <class B, class Part, class T>
void run_part(gate_step, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    check_sample(part, g, part.columns());
    g.s.experts = part.columns();
    g.s.logits = g.s.scores = g.s.keys = {};
    const matrix_view<T> logits = g.memory.template take<T>(g.in.tokens(), part.columns());
    const auto saved = value_of([&] { return part.forward(b, g.s, logits); });
    o.out = plain<T>(logits);
    if (d == nullptr) return;
    g.open_adjoint(part.columns(), 0);
    g.d_logits = upstream_matrix<T>(logits.rows, logits.cols);
    g.d.logits = g.d_logits;
    routing<T> after = g.s;
    after.logits = after.scores = after.keys = logits;
    auto gradient = make_gradient(part);
    call_backward(part, saved, gradient, b, g.s, after, g.d);
    take_derivatives(g, part, gradient, *d, false);
}

template <class B, class Part, class T>
void run_part(score_step, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    check_sample(part, g, g.scores.cols());
    const matrix_view<T> scores = g.memory.template take<T>(g.scores.rows(), g.scores.cols());
    kernels_of<B>::template copy<B, T>(b, g.scores.view(), scores);
    routing<T> seen = g.s;
    seen.scores = seen.keys = {};
    const auto saved = value_of([&] { return part.forward(b, seen, scores); });
    o.out = plain<T>(scores);
    if (d == nullptr) return;
    g.open_adjoint(scores.cols, 0);
    g.d_scores = upstream_matrix<T>(scores.rows, scores.cols);
    g.d.scores = g.d_scores;
    routing<T> after = g.s;
    after.scores = after.keys = scores;
    auto gradient = make_gradient(part);
    call_backward(part, saved, gradient, b, g.s, after, g.d);
    for (std::size_t i = 0; i < g.d_scores.size(); ++i) g.d_scores.data()[i] += static_cast<T>(gradient_before);
    take_derivatives(g, part, gradient, *d, true);
}

template <class B, class Part, class T>
void run_part(key_step, B& b, const Part& part, stage<T>& g, outcome& o, derivatives*) {
    check_sample(part, g, g.scores.cols());
    const matrix_view<T> keys = g.memory.template take<T>(g.scores.rows(), g.scores.cols());
    kernels_of<B>::template copy<B, T>(b, g.scores.view(), keys);
    routing<T> seen = g.s;
    seen.keys = {};
    part.forward(b, seen, keys);
    o.out = plain<T>(keys);
}

template <class B, class Part, class T>
void run_part(selector_step, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    const index_t columns = g.scores.cols();
    const index_t experts = experts_of(part, columns);
    g.s.experts = experts;
    if constexpr (requires { Part::needs; }) {
        if (const char* missing = moe::detail::missing_need(g.in, Part::needs)) refuse(missing);
    }
    chosen c;
    o.most_routes = select_into(b, part, g.s, c, o.fault);
    if (!o.fault.empty()) return;
    g.offset = std::move(c.offset);
    g.expert = std::move(c.expert);
    g.weight.clear();
    if constexpr (moe::detail::weighs<Part, B, T>) {
        g.weight.assign(g.expert.size(), T(unwritten));
        const routing<T> before = g.s;
        g.s.routes = {g.offset, g.expert, {}, 0};
        const auto saved = value_of([&] { return part.weigh(b, g.s, std::span<T>(g.weight)); });
        for (std::size_t i = 0; i < g.weight.size(); ++i) g.weight[i] = g.expert[i] < 0 ? T(0) : g.weight[i];
        g.use_routes();
        if (d != nullptr) {
            g.open_adjoint(columns, g.expert.size());
            for (std::size_t i = 0; i < g.d_weight.size(); ++i) g.d_weight[i] = static_cast<T>(upstream(i));
            auto gradient = make_gradient(part);
            call_backward(part, saved, gradient, b, before, g.s, g.d);
            take_derivatives(g, part, gradient, *d, false);
        }
    }
    take_routes<T>(o, g.offset, g.expert, g.weight, experts);
}

template <class B, class Part, class T>
void run_part(route_step, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    using X = moe::detail::written_t<Part, B, T>;
    constexpr bool writes_expert = !std::is_same_v<X, std::span<T>>;
    constexpr bool writes_weight = !std::is_same_v<X, choice>;
    check_sample(part, g, g.scores.cols());
    g.use_routes();
    g.s.routes.per_token = g.offset.size() > 1 ? g.offset[1] : 0;
    std::vector<index_t> expert = g.expert;
    std::vector<T> weight = g.weight;
    routing<T> seen = g.s;
    if (writes_expert) seen.routes.expert = {};
    if (writes_weight) seen.routes.weight = {};
    const auto saved = value_of([&] {
        if constexpr (std::is_same_v<X, choice>)
            return part.forward(b, seen, choice{g.offset, expert});
        else if constexpr (writes_expert)
            return part.forward(b, seen, routes_view<T>{g.offset, expert, weight});
        else
            return part.forward(b, seen, std::span<T>(weight));
    });
    for (std::size_t i = 0; i < expert.size() && writes_expert; ++i) weight[i] = expert[i] < 0 ? T(0) : weight[i];
    index_t experts = g.s.experts;
    if constexpr (requires { part.experts(experts); }) experts = part.experts(experts);
    take_routes<T>(o, g.offset, expert, weight, experts);
    o.most_routes = std::int64_t(expert.size());
    if (d == nullptr) return;
    routing<T> after = g.s;
    after.experts = experts;
    after.routes.expert = expert;
    after.routes.weight = weight;
    g.open_adjoint(g.scores.cols(), expert.size());
    for (std::size_t i = 0; i < expert.size(); ++i) g.d_weight[i] = static_cast<T>(upstream(i));
    auto gradient = make_gradient(part);
    if constexpr (std::is_same_v<X, choice>) {
        for (std::size_t i = 0; i < expert.size(); ++i) g.d_weight[i] = expert[i] < 0 ? T(0) : g.d_weight[i];
    } else {
        call_backward(part, saved, gradient, b, g.s, after, g.d);
    }
    g.scatter_weights();
    take_derivatives(g, part, gradient, *d, false);
}

}  // namespace testing::detail
MOE_END
