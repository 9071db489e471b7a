// SPDX-License-Identifier: Apache-2.0
#include "roles.hpp"

#include "moe/presets/mixtral.hpp"
#include "moe/testing/backend_laws.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/laws.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"

using moe::testing::laws;
using moe::testing::no_violations;

TEST_CASE("the smallest part of every role, as the contracts show it, keeps the laws") {
    CHECK(laws(mine::weighted_columns<double>{4}) == no_violations);
    CHECK(moe::testing::laws(mine::square{}) == moe::testing::no_violations);
    CHECK(laws(mine::never{}) == no_violations);
    CHECK(laws(mine::best_one{}) == no_violations);
    CHECK(laws(mine::at_most{0.5}) == no_violations);
    CHECK(laws(mine::scaled_bank<double>{4, 3}) == no_violations);
    CHECK(laws(mine::doubled_sum{}) == no_violations);
    CHECK(laws(mine::pass_on<double>{3}) == no_violations);
    CHECK(laws(mine::small_logits{}) == no_violations);
    mine::counting_backend counting;
    CHECK(moe::testing::backend_laws<double>(counting) == no_violations);
    CHECK(counting.products > 0);
}

TEST_CASE("parts of every role meet in one layer, which trains on a backend of its own") {
    std::atomic<long> rows_seen{0};
    moe::layer layer{moe::router{mine::weighted_columns<double>{4}, mine::square{}, mine::never{2}, mine::best_one{},
                                 mine::at_most{0.5}},
                     mine::scaled_bank<double>{4, 4}, mine::pass_on<double>{4}, mine::doubled_sum{},
                     mine::row_counter{&rows_seen}};
    const moe::matrix<double> x = moe::testing::random_matrix<double>(6, 4, 1);
    moe::batch<double> in;
    in.x = x;
    mine::counting_backend b;
    const auto report = moe::testing::check_gradients(b, layer, in, mine::small_logits{.coefficient = 0.1});
    INFO(report.where);
    CHECK(report.worst < 1e-6);
    CHECK(report.nonzero);
    CHECK(rows_seen > 0);
}

TEST_CASE("losses, as their page shows, are called between forward and backward, which takes their gradients along") {
    moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4}}, moe::softmax{},
                                 moe::top_k{.k = 2}},
                     moe::swiglu_bank<float>{{.features = 5, .hidden = 3, .experts = 4}}};
    const moe::matrix<float> x = moe::testing::random_matrix<float>(6, 5, 1);
    moe::matrix<float> y(6, 5), dy(6, 5), dx(6, 5);
    moe::batch<float> in;
    in.x = x;
    moe::cpu b;
    moe::tape<float> tape;
    auto gradient = layer.make_gradient();

    layer.forward(b, in, y.view(), tape);
    const double balance = moe::load_balance{.coefficient = 0.01}(b, tape);
    const double z = moe::z_loss{.coefficient = 1e-3}(b, tape);
    layer.backward(b, dy.view(), tape, dx.view(), gradient);

    CHECK(balance >= 0.01);
    CHECK(z > 0);
    // dy is 0: what reaches the gate comes from the losses.
    const auto d_gate = std::get<0>(std::get<0>(gradient)).weight.span();
    CHECK(std::any_of(d_gate.begin(), d_gate.end(), [](float g) { return g != 0; }));
}

TEST_CASE("a preset, as its page shows, is a layer like any other") {
    auto layer = moe::presets::mixtral<float>({.features = 32, .hidden = 112, .experts = 8, .per_token = 2});

    const moe::matrix<float> x = moe::testing::random_matrix<float>(3, 32, 1);
    moe::cpu cpu;
    const moe::matrix<float> y = layer(cpu, x);
    CHECK(y.rows() == 3);
    CHECK(std::any_of(y.span().begin(), y.span().end(), [](float v) { return v != 0; }));
}
