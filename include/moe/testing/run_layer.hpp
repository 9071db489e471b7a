// testing/run_layer: a router, a part of a layer, a layer or a loss on one sample
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/tape.hpp"
#include "moe/plan/replay.hpp"
#include "moe/testing/run_step.hpp"

MOE_BEGIN
namespace testing::detail {

struct layer_role {};
struct loss_role {};

template <class Part>
index_t outputs_of(const Part& part) {
    if constexpr (requires { part.outputs(); })
        return part.outputs();
    else
        return part.features();
}

// Logits and scores side by side: losses read them, and backward adds what they pull to what comes from the weights.
template <class T>
table flow_of(const routing<T>& s) {
    table flow(s.tokens(), 2 * s.scores.cols);
    for (index_t t = 0; t < flow.rows; ++t) {
        for (index_t e = 0; e < s.scores.cols; ++e) {
            flow(t, e) = static_cast<double>(s.logits(t, e));
            flow(t, s.scores.cols + e) = static_cast<double>(s.scores(t, e));
        }
    }
    return flow;
}
template <class T>
void pull_at_flow(stage<T>& g, const table& flow) {
    const index_t columns = flow.cols / 2;
    for (index_t t = 0; t < flow.rows; ++t) {
        for (index_t c = 0; c < flow.cols; ++c) {
            const bool excluded = flow(t, c) < 0 && std::isinf(flow(t, c));
            const T pull = excluded ? T(0) : static_cast<T>(upstream(std::size_t(t * flow.cols + c)));
            (c < columns ? g.d_logits : g.d_scores)(t, c % columns) = pull;
        }
    }
}

template <class B, class Part, class T>
void run_part(router_part, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    part.check(g.in);
    using record_type = typename Part::template record<B>;
    record_type record{};
    recorded_choice choice;
    if (g.replayed) {
        choice = recorded_choice(part.route(b, g.in, g.memory, &record).selected);
        choice.replay_in(g.in);
    }
    const bool taped = d != nullptr || g.s.recording;
    const routing<T> s = part.route(b, g.in, g.memory, taped ? &record : nullptr);
    take_routes<T>(o, s.routes.offset, s.routes.expert, s.routes.weight, s.experts);
    o.most_routes = s.routes.slots();
    o.flow = flow_of(s);
    if (d == nullptr) return;
    g.open_adjoint(s.scores.cols, s.routes.expert.size());
    pull_at_flow(g, o.flow);
    for (std::size_t i = 0; i < g.d_weight.size(); ++i) g.d_weight[i] = static_cast<T>(upstream(i));
    auto gradient = part.make_gradient();
    part.backward(b, record, g.d, gradient);
    take_derivatives(g, part, gradient, *d, false);
    d->scores = {};
}

template <class B, class T>
plan_view plan_of(B& b, stage<T>& g, index_t experts) {
    if (g.s.experts != experts) refuse("as many experts as the bank has");
    g.use_routes();
    return kernels_of<B>::build_plan(b, g.in.tokens(), experts, g.offset, g.expert, g.memory);
}

// Rows of a plan beside tables by slot [T, slots * D].
template <class F>
void each_slot(const plan_view& plan, index_t slots, const F& f) {
    for (std::size_t i = 0; i < plan.row.size(); ++i) {
        if (plan.row[i] >= 0) f(plan.row[i], index_t(i) / slots, index_t(i) % slots);
    }
}

template <class B, class Part, class T>
void run_part(experts_part, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    const plan_view plan = plan_of(b, g, part.experts());
    const index_t slots = g.in.tokens() == 0 ? 1 : g.offset[1];
    const index_t width = outputs_of(part);
    const matrix_view<T> rows = g.memory.template take<T>(plan.rows(), width);
    const auto saved = value_of([&] { return part.forward(b, g.s, plan, rows); });
    o.out = table(g.in.tokens(), slots * width);
    each_slot(plan, slots, [&](index_t r, index_t t, index_t i) {
        for (index_t j = 0; j < width; ++j) o.out(t, i * width + j) = static_cast<double>(rows(r, j));
    });
    if (d == nullptr) return;
    const matrix<T> by_slot = upstream_matrix<T>(o.out.rows, o.out.cols);
    const matrix_view<T> d_rows = g.memory.template take<T>(plan.rows(), width);
    each_slot(plan, slots, [&](index_t r, index_t t, index_t i) {
        for (index_t j = 0; j < width; ++j) d_rows(r, j) = by_slot(t, i * width + j);
    });
    g.open_adjoint(g.scores.cols(), g.expert.size());
    auto gradient = make_gradient(part);
    const matrix_view<const T> upstream_rows = d_rows;
    call_backward(part, saved, gradient, b, g.s, plan, upstream_rows, g.d);
    g.scatter_weights();
    take_derivatives(g, part, gradient, *d, false);
}

template <class B, class Part, class T>
void run_part(combine_part, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    const plan_view plan = plan_of(b, g, g.s.experts);
    const index_t slots = g.in.tokens() == 0 ? 1 : g.offset[1];
    const index_t width = g.x.cols() / slots;
    const matrix_view<T> rows = g.memory.template take<T>(plan.rows(), width);
    each_slot(plan, slots, [&](index_t r, index_t t, index_t i) {
        for (index_t j = 0; j < width; ++j) rows(r, j) = g.x(t, i * width + j);
    });
    const matrix_view<T> y = g.memory.template take<T>(g.in.tokens(), part.outputs(width));
    const matrix_view<const T> read = rows;
    const auto saved = value_of([&] { return part.forward(b, g.s, plan, read, y); });
    o.out = plain<T>(y);
    if (d == nullptr) return;
    const matrix<T> dy = upstream_matrix<T>(y.rows, y.cols);
    const matrix_view<T> d_rows = g.memory.template take<T>(plan.rows(), width);
    g.open_adjoint(g.scores.cols(), g.expert.size());
    auto gradient = make_gradient(part);
    call_backward(part, saved, gradient, b, g.s, plan, read, dy.view(), d_rows, g.d);
    g.scatter_weights();
    each_slot(plan, slots, [&](index_t r, index_t t, index_t i) {
        for (index_t j = 0; j < width; ++j) g.d_x(t, i * width + j) += d_rows(r, j);
    });
    take_derivatives(g, part, gradient, *d, false);
}

// What the routed experts gave, to which shared experts add, is the sample's scores [T, outputs].
template <class B, class Part, class T>
void run_part(shared_part, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    if constexpr (requires { part.check(g.in); }) part.check(g.in);
    const matrix_view<T> y = g.memory.template take<T>(g.in.tokens(), part.outputs());
    const auto without_masked = [&](matrix_view<T> rows) {
        for (index_t t = 0; t < rows.rows; ++t) {
            if (!g.in.live(t)) std::fill(rows.row(t), rows.row(t) + rows.cols, T(0));
        }
    };
    kernels_of<B>::template copy<B, T>(b, g.scores.view(), y);
    without_masked(y);
    const auto saved = value_of([&] { return part.forward(b, g.s, y); });
    o.out = plain<T>(y);
    if (d == nullptr) return;
    const matrix<T> dy = upstream_matrix<T>(y.rows, y.cols);
    g.open_adjoint(g.scores.cols(), 0);
    auto gradient = make_gradient(part);
    if constexpr (requires { Part::mixes_routed; }) {
        call_backward(part, saved, gradient, b, g.s, dy.view(), g.d_scores.view(), g.d);
    } else {
        call_backward(part, saved, gradient, b, g.s, dy.view(), g.d);
        std::copy(dy.data(), dy.data() + dy.size(), g.d_scores.data());
    }
    without_masked(g.d_scores);
    for (std::size_t i = 0; i < g.d_scores.size(); ++i) g.d_scores.data()[i] += static_cast<T>(gradient_before);
    take_derivatives(g, part, gradient, *d, false);
}

template <class B, class Part, class T>
void run_part(layer_role, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    const matrix_view<T> y = g.memory.template take<T>(g.in.tokens(), part.outputs());
    if (d == nullptr && !g.s.recording) {
        part.forward(b, g.in, y);
        o.out = plain<T>(y);
        return;
    }
    tape<T> tape;
    poison(tape.memory(), 0x5A);
    part.forward(b, g.in, y, tape);
    o.out = plain<T>(y);
    const auto& routes = tape.routing().routes;
    take_routes<T>(o, routes.offset, routes.expert, {}, tape.routing().experts);
    if (d == nullptr) return;
    const matrix<T> dy = upstream_matrix<T>(y.rows, y.cols);
    g.open_adjoint(0, 0);
    auto gradient = part.make_gradient();
    part.backward(b, dy.view(), tape, g.d_x.view(), gradient);
    for (std::size_t i = 0; i < g.d_x.size(); ++i) g.d_x.data()[i] += static_cast<T>(gradient_before);
    take_derivatives(g, part, gradient, *d, false);
}

// The sample's scores are the logits; its x [T,E] are the probabilities, which a loss reads as the scores.
template <class B, class Part, class T>
void run_part(loss_role, B& b, const Part& part, stage<T>& g, outcome& o, derivatives* d) {
    tape<T> tape;
    poison(tape.memory(), 0x5A);
    for (std::size_t i = 0; i < g.expert.size(); ++i) {
        const index_t t = index_t(i) / g.offset[1];
        g.weight[i] = g.expert[i] < 0 ? T(0) : g.x(t, g.expert[i]);
    }
    g.s.batch_of_call = &tape.begin(g.in);
    g.s.scores = g.s.keys = g.x;
    g.s.routes.per_token = g.offset.size() > 1 ? g.offset[1] : 0;
    const plan_view plan = plan_of(b, g, g.s.experts);
    g.open_adjoint(g.scores.cols(), g.expert.size());
    tape.d = g.d;
    tape.keep(tape.memory().create(g.s), plan, nullptr, nullptr);
    o.out = table(1, 1, part(b, tape));
    if (d == nullptr) return;
    g.scatter_weights();
    d->scores = plain<T>(g.d_logits.view());
    d->x = plain<T>(g.d_scores.view());
    for (double& v : d->scores.values) v -= gradient_before;
    for (double& v : d->x.values) v -= gradient_before;
}

}  // namespace testing::detail
MOE_END
