// tests/train: layers and batches on which losses are tried, and what every loss must keep
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "moe/moe.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace losses {

using moe::index_t;

// softmax router, top k, raw weights.
template <class T>
auto layer_of(index_t experts, index_t k) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = experts, .seed = 11}}, moe::softmax{},
                                  moe::top_k{.k = k}},
                      moe::ffn_bank<T, moe::silu>{{.features = 5, .hidden = 3, .experts = experts}}};
}

// Scores without a softmax: the logits are the keys and the weights.
template <class T>
auto raw_layer_of(index_t experts, index_t k) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = experts, .seed = 11}}, moe::top_k{.k = k}},
                      moe::ffn_bank<T, moe::silu>{{.features = 5, .hidden = 3, .experts = experts}}};
}

// x is zero, so all logits are equal; token t is sent to the experts t*K, t*K + 1, ... (mod E): an even load.
template <class T>
struct even_batch {
    moe::matrix<T> x;
    std::vector<index_t> offset, expert;
    moe::batch<T> in;

    even_batch(index_t tokens, index_t experts, index_t k) : x(tokens, 5) {
        for (index_t t = 0; t <= tokens; ++t) offset.push_back(t * k);
        for (index_t t = 0; t < tokens * k; ++t) expert.push_back(t % experts);
        in.x = x;
        in.replay_offset = offset;
        in.replay_expert = expert;
    }
    even_batch(const even_batch&) = delete;
};

// One taped forward; the tape is ready for losses.
template <class B, class Layer, class T>
void record(B& b, const Layer& layer, const moe::batch<T>& in, moe::tape<T>& tape) {
    moe::matrix<T> y(in.tokens(), layer.outputs());
    layer.forward(b, in, y.view(), tape);
}

template <class T>
double largest(moe::matrix_view<T> m) {
    double worst = 0.0;
    for (index_t i = 0; i < m.rows; ++i) {
        for (index_t j = 0; j < m.cols; ++j) {
            const double v = std::abs(static_cast<double>(m(i, j)));
            if (!(v <= worst)) worst = v;
        }
    }
    return worst;
}

// Value and gradient are right by central differences on random inputs with and without a mask; E = 1 and T = 0 stay
// finite; masked tokens get no gradient and change nothing; no allocation is hidden in the scratch.
template <class Loss>
void check_loss(const Loss& loss, bool raw = false) {
    moe::reference b;
    const auto differences = [&](auto layer, const moe::batch<double>& in) {
        const auto report = moe::testing::check_gradients(b, layer, in, loss);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
        CHECK(report.checked > 10);
    };
    const auto x = moe::testing::random_matrix<double>(7, 5, 21);
    const std::vector<std::uint8_t> mask{1, 0, 1, 1, 0, 1, 1};
    moe::batch<double> in;
    in.x = x;
    raw ? differences(raw_layer_of<double>(4, 2), in) : differences(layer_of<double>(4, 2), in);
    raw ? differences(raw_layer_of<double>(1, 1), in) : differences(layer_of<double>(1, 1), in);
    in.mask = mask;
    raw ? differences(raw_layer_of<double>(4, 2), in) : differences(layer_of<double>(4, 2), in);

    const auto layer = layer_of<double>(4, 2);
    moe::tape<double> tape;
    record(b, layer, in, tape);
    const double value = loss(b, tape);
    CHECK(std::isfinite(value));
    for (index_t t : {1, 4}) {
        CHECK(largest(tape.d.logits.middle_rows(t, 1)) == 0.0);
        CHECK(largest(tape.d.scores.middle_rows(t, 1)) == 0.0);
    }
    moe::matrix<double> spoiled = x;
    for (index_t d = 0; d < 5; ++d) spoiled(1, d) = spoiled(4, d) = 1e3;
    in.x = spoiled;
    record(b, layer, in, tape);
    CHECK(loss(b, tape) == value);

    const std::vector<std::uint8_t> none(7, 0);
    in.mask = none;
    record(b, layer, in, tape);
    CHECK(loss(b, tape) == 0.0);
    CHECK(largest(tape.d.logits) == 0.0);
    CHECK(largest(tape.d.scores) == 0.0);
    moe::batch<double> empty;
    empty.x = moe::matrix_view<const double>(nullptr, 0, 5);
    record(b, layer, empty, tape);
    CHECK(loss(b, tape) == 0.0);
}

// At an even load and even probabilities: the value that the docs name, and a right gradient.
template <class Loss>
void check_at_balance(const Loss& loss, double value) {
    for (const index_t k : {1, 2}) {
        moe::reference b;
        auto layer = layer_of<double>(4, k);
        const even_batch<double> even(6, 4, k);
        moe::batch<double> in = even.in;
        moe::matrix<double> x = even.x;
        in.x = x;
        if (k == 1) in.mask = {};
        moe::tape<double> tape;
        // 6 tokens to 4 experts are uneven for K = 1: take 4 of them.
        const std::vector<std::uint8_t> four{1, 1, 1, 1, 0, 0};
        if (k == 1) in.mask = four;
        record(b, layer, in, tape);
        CHECK(loss(b, tape) == Approx(value).margin(1e-12));
        const auto report = moe::testing::check_gradients(b, layer, in, loss);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
    }
}

// The gradient has the same bits on every number of threads, and nearly those of the reference.
template <class Loss>
void check_backends(const Loss& loss) {
    const auto x = moe::testing::random_matrix<float>(301, 5, 22);
    std::vector<std::uint8_t> mask(301, 1);
    for (std::size_t i = 0; i < mask.size(); i += 5) mask[i] = 0;
    moe::batch<float> in;
    in.x = x;
    in.mask = mask;
    const auto layer = layer_of<float>(37, 3);
    const auto on_backend = [&](auto& b, moe::tape<float>& tape) {
        record(b, layer, in, tape);
        b.scratch().poison(0xCD);
        return loss(b, tape);
    };
    moe::reference reference;
    moe::cpu one, three{{.threads = 3}};
    moe::tape<float> r, c1, c3;
    const double v = on_backend(reference, r);
    const double v1 = on_backend(one, c1);
    CHECK(v1 == on_backend(three, c3));
    CHECK(v1 == Approx(v).epsilon(tolerance<float>::value));
    for (index_t t = 0; t < in.tokens(); ++t) {
        for (index_t e = 0; e < 37; ++e) {
            REQUIRE(c1.d.logits(t, e) == c3.d.logits(t, e));
            REQUIRE(c1.d.scores(t, e) == c3.d.scores(t, e));
        }
    }
    CHECK(relative_error(c1.d.logits, r.d.logits) <= tolerance<float>::gradient);
    CHECK(relative_error(c1.d.scores, r.d.scores) <= tolerance<float>::gradient);
}

}  // namespace losses
