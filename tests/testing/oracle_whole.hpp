// tests/testing: a whole layer against its composition of the oracle's functions: outputs, and gradients by differences
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "support/tolerance.hpp"
#include "testing/oracle_weights.hpp"

// y of live tokens by spec(token, x of the token), zeros for padding.
template <class Spec>
oracle::table by_token(const problem& p, const oracle::table& x, oracle::id outputs, const Spec& spec) {
    oracle::table y(x.size(), oracle::row(outputs));
    for (oracle::id t = 0; t < x.size(); ++t) {
        if (p.live(t)) y[t] = spec(t, x[t]);
    }
    return y;
}

// The rows of a token's routes.
inline oracle::table rows_of(const oracle::routed& r, const oracle::bank& bank, const oracle::row& x) {
    oracle::table rows;
    for (const oracle::route& s : r) rows.push_back(bank(s.expert, x));
    return rows;
}
inline oracle::row mixture(const oracle::routed& r, const oracle::bank& bank, const oracle::row& x) {
    return oracle::weighted_sum(r, rows_of(r, bank, x), x.size());
}

// spec(p, x) reads the layer's parameters anew at every call.
template <class Layer, class Spec>
void same_outputs(Layer& layer, problem& p, const Spec& spec) {
    moe::reference b;
    moe::matrix<double> y(problem::tokens, layer.outputs());
    std::fill(y.span().begin(), y.span().end(), std::nan(""));
    layer.forward(b, p.in, y.view());
    const oracle::table wanted = spec(p, values(p.x.view()));
    for (oracle::id t = 0; t < wanted.size(); ++t) {
        INFO("token " << t);
        CHECK(close(values(y.view())[t], wanted[t]));
    }
}

// Gradients of <dy, layer(x)> in x and all parameters equal central differences of <dy, spec(x)>.
template <class Layer, class Spec>
void same_gradients(Layer& layer, problem& p, const Spec& spec) {
    moe::reference b;
    const auto dy = moe::testing::random_matrix<double>(problem::tokens, layer.outputs(), 77);
    moe::matrix<double> y(problem::tokens, layer.outputs()), dx(problem::tokens, layer.features());
    moe::tape<double> tape;
    auto gradient = layer.make_gradient();
    layer.forward(b, p.in, y.view(), tape);
    layer.backward(b, dy.view(), tape, dx.view(), gradient);
    const auto value = [&] {
        double sum = 0.0;
        const oracle::table out = spec(p, values(p.x.view()));
        for (oracle::id t = 0; t < out.size(); ++t) sum += oracle::linear_gate(out[t], {values(dy.view())[t]})[0];
        return sum;
    };
    std::size_t checked = 0, moving = 0;
    const auto compare = [&](const std::string& name, std::span<double> v, std::span<const double> d) {
        for (std::size_t i = 0; i < v.size(); i += 1 + v.size() / 24) {
            const double before = v[i];
            v[i] = before + 1e-6;
            const double above = value();
            v[i] = before - 1e-6;
            const double numeric = (above - value()) / 2e-6;
            v[i] = before;
            INFO(name << "[" << i << "]: " << d[i] << " for " << numeric);
            CHECK(close(d[i], numeric, difference_tolerance));
            ++checked;
            moving += std::abs(numeric) > 1e-6 ? 1 : 0;
        }
    };
    compare("x", p.x.span(), dx.span());
    moe::visit_parameters([&](const moe::parameter_name& name, auto& tensor,
                              auto& g) { compare(name.text(), moe::flat(tensor), moe::flat(g)); },
                          layer, gradient);
    CHECK(checked > 20);
    CHECK(moving * 10 > checked);
}

template <class Layer, class Spec>
void agrees(Layer layer, const Spec& spec, bool gradients = true) {
    randomise(layer, 11);
    const auto bound = [&](const problem& p, const oracle::table& x) { return spec(layer, p, x); };
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
        for (const bool masked : {false, true}) {
            problem p(kind::normal, masked, seed);
            p.in.training = false;
            p.in.features = {};
            same_outputs(layer, p, bound);
            if (gradients && masked && seed == 1) same_gradients(layer, p, bound);
        }
    }
    problem spoiled(kind::normal, true);
    spoiled.in.training = false;
    spoiled.in.features = {};
    spoiled.x(0, 1) = std::nan("");
    spoiled.x(5, 0) = oracle::infinity;
    std::fill_n(&spoiled.x(4, 0), spoiled.x.cols(), 0.0);
    same_outputs(layer, spoiled, bound);
}

template <class T = double>
auto small_swiglu(moe::index_t experts, bool bias = false) {
    return moe::swiglu_bank<T>{{.features = 6, .hidden = 3, .experts = experts, .bias = bias}};
}
template <class Layer>
oracle::row logits_of(const Layer& layer, const oracle::row& x) {
    const auto& gate = layer.router().template step<0>();
    return oracle::linear_gate(x, values(gate.weight)[0], first_row(gate.bias));
}
template <class Bank>
oracle::bank ffn_of(const Bank& bank, const oracle::function_of_two& act) {
    return [w = weights_of(bank, act)](oracle::id e, const oracle::row& x) { return oracle::ffn_bank(w, e, x); };
}
