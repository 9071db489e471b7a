// testing/stage: a sample as the views that a part takes, and what backward needs beside them
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/reference.hpp"
#include "moe/core/roles.hpp"
#include "moe/testing/subject.hpp"

MOE_BEGIN
namespace testing::detail {

// What gradients hold before backward adds to them.
inline constexpr double gradient_before = 0.25;

template <class T>
matrix<T> typed(const table& t) {
    matrix<T> m(t.rows, t.cols);
    std::transform(t.values.begin(), t.values.end(), m.data(), [](double v) { return static_cast<T>(v); });
    return m;
}
template <class T>
table plain(matrix_view<const T> m) {
    table t(m.rows, m.cols);
    for (index_t i = 0; i < m.rows; ++i) {
        for (index_t j = 0; j < m.cols; ++j) t(i, j) = static_cast<double>(m(i, j));
    }
    return t;
}
template <class T>
matrix<T> filled(index_t rows, index_t cols, double value) {
    matrix<T> m(rows, cols);
    std::fill(m.data(), m.data() + m.size(), static_cast<T>(value));
    return m;
}
template <class T>
matrix<T> upstream_matrix(index_t rows, index_t cols) {
    matrix<T> m(rows, cols);
    for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<T>(upstream(i));
    return m;
}

inline void poison(arena& memory, unsigned char byte) {
    {
        arena_frame frame(memory);
        memory.take<char>(std::size_t{1} << 15);
    }
    memory.poison(byte);
}

template <class T>
struct stage {
    matrix<T> x, scores, side;
    std::vector<index_t> offset, expert;
    std::vector<T> weight;
    batch<T> in;
    arena memory;
    routing<T> s;
    matrix<T> d_x, d_logits, d_scores;
    std::vector<T> d_weight;
    adjoint<T> d;
    bool replayed;

    stage(const sample& given, const call& c)
        : x(typed<T>(given.x)), scores(typed<T>(given.scores)), side(typed<T>(given.side)), replayed(c.replayed) {
        in.x = x.cols() != 0 ? x.view() : scores.view();
        in.features = in.x;
        in.mask = given.mask;
        in.sequence = given.sequence;
        in.token_id = given.token_id;
        in.label = given.label;
        if (given.side_is != side_kind::none) in.side = side;
        in.k = given.k;
        in.first_token = given.first_token;
        in.step = given.step;
        in.seed = given.seed;
        in.training = given.training;
        poison(memory, c.poison);
        take_routes(given);
        s.batch_of_call = &in;
        s.experts = given.experts;
        s.logits = s.scores = s.keys = scores;
        s.memory = &memory;
        s.recording = c.recording;
    }
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;

    void use_routes() {
        s.routes = {offset, expert, weight, 0};
        s.selected = s.routes;
    }
    void open_adjoint(index_t columns, std::size_t slots) {
        d_x = filled<T>(in.tokens(), in.x.cols, gradient_before);
        d_logits = filled<T>(in.tokens(), columns, gradient_before);
        d_scores = filled<T>(in.tokens(), columns, gradient_before);
        d_weight.assign(slots, T(0));
        d.x = d.features = d_x;
        d.logits = d_logits;
        d.scores = d_scores;
        d.weight = d_weight;
    }
    // Adds dL / dweight, by slot of the sample's routes, to the scores they were gathered from.
    void scatter_weights() {
        for (index_t t = 0; t < in.tokens(); ++t) {
            for (index_t i = offset[std::size_t(t)]; i < offset[std::size_t(t) + 1]; ++i) {
                const index_t e = expert[std::size_t(i)];
                if (e >= 0) d_scores(t, e) += d_weight[std::size_t(i)];
            }
        }
    }
    // Bits of what a part may only read.
    std::string changed(const sample& given) const {
        const auto differs = [](const matrix<T>& m, const table& t) {
            for (std::size_t i = 0; i < m.size(); ++i) {
                if (!same(static_cast<double>(m.data()[i]), static_cast<double>(static_cast<T>(t.values[i]))))
                    return true;
            }
            return false;
        };
        if (differs(x, given.x)) return "wrote to x, which it may only read";
        if (differs(scores, given.scores)) return "wrote to the scores, which it may only read";
        return "";
    }

private:
    void take_routes(const sample& given) {
        for (index_t t = 0; t <= given.tokens; ++t) offset.push_back(t * given.slots);
        expert = given.expert;
        for (std::size_t i = 0; i < expert.size(); ++i) {
            const index_t t = index_t(i) / given.slots;
            if (!given.live(t)) expert[i] = -1;
            weight.push_back(expert[i] < 0 ? T(0) : scores(t, expert[i]));
        }
    }
};

template <class T>
void take_routes(outcome& o, std::span<const index_t> offset, std::span<const index_t> expert,
                 std::span<const T> weight, index_t experts) {
    o.offset.assign(offset.begin(), offset.end());
    o.expert.assign(expert.begin(), expert.end());
    o.weight.assign(weight.begin(), weight.end());
    o.experts = experts;
}

// dL / d of x, scores and parameters, without what was there before.
template <class T, class Part, class Gradient>
void take_derivatives(stage<T>& g, const Part& part, Gradient& gradient, derivatives& d, bool logits_are_scores) {
    d.x = plain<T>(g.d_x.view());
    d.scores = plain<T>(g.d_scores.view());
    for (double& v : d.x.values) v -= gradient_before;
    for (std::size_t i = 0; i < d.scores.values.size(); ++i) {
        d.scores.values[i] -= gradient_before;
        if (logits_are_scores) d.scores.values[i] += static_cast<double>(g.d_logits.data()[i]) - gradient_before;
    }
    if constexpr (has_parameters<Part>) {
        visit_parameters(
            [&](const parameter_name&, const auto&, auto& values) {
                const auto all = flat(values);
                d.parameters.emplace_back(all.begin(), all.end());
            },
            part, gradient);
    }
}

}  // namespace testing::detail
MOE_END
