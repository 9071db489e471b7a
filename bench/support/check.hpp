// bench/support: results against the reference backend, and against the oracle where sizes are tiny
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/reference.hpp"
#include "moe/testing/oracle.hpp"
#include "support/layer_problem.hpp"

namespace bench {

// The largest |a - b| over the largest |b|; infinite where a holds a NaN or b nothing but zeros.
template <class A, class B>
double error_of(moe::matrix_view<const A> a, moe::matrix_view<const B> b) {
    double worst = 0, largest = 0;
    for (index_t r = 0; r < a.rows; ++r) {
        for (index_t j = 0; j < a.cols; ++j) {
            const double wanted = static_cast<double>(b(r, j)), error = std::abs(static_cast<double>(a(r, j)) - wanted);
            if (!(error <= worst)) worst = error;
            largest = std::max(largest, std::abs(wanted));
        }
    }
    return worst >= 0 && largest > 0 ? worst / largest : std::numeric_limits<double>::infinity();
}

template <class Panels>
moe::testing::oracle::stack stack_of(const Panels& w) {
    moe::testing::oracle::stack all;
    for (index_t g = 0; g < w.groups(); ++g) {
        moe::testing::oracle::table rows;
        for (index_t n = 0; n < w.outputs(); ++n) {
            moe::testing::oracle::row row;
            for (index_t k = 0; k < w.inputs(); ++k) row.push_back(static_cast<double>(w(g, n, k)));
            rows.push_back(row);
        }
        all.push_back(rows);
    }
    return all;
}

// A row as products of the format read it, by the rule of core/quantized_panels.hpp: 8 bits under one scale.
template <class Format>
moe::testing::oracle::row as_read(moe::testing::oracle::row x) {
    if constexpr (requires { typename Format::codes; }) {
        double largest = 0;
        for (const double v : x) largest = std::max(largest, std::abs(v));
        const double scale = largest / 127;
        for (double& v : x) v = scale > 0 ? scale * std::nearbyint(v / scale) : 0.0;
    }
    return x;
}

// The layer of layer_problem.hpp, token by token, as the specification has it.
template <class Format>
moe::matrix<double> oracle_layer(const layer_type<Format>& layer, moe::matrix_view<const typename Format::scalar> x,
                                 index_t per_token) {
    namespace o = moe::testing::oracle;
    const auto& bank = layer.experts();
    const auto act = [](double g, double u) { return o::gated(g, u, o::silu); };
    const o::stack gate_w = stack_of(bank.gate), up_w = stack_of(bank.up), down_w = stack_of(bank.down);
    const auto expert = [&](o::id number, const o::row& token) {
        const std::size_t e = static_cast<std::size_t>(number);
        const o::row in = as_read<Format>(token);
        const o::row hidden = o::zip(o::linear_gate(in, gate_w[e]), o::linear_gate(in, up_w[e]), act);
        return o::linear_gate(as_read<Format>(hidden), down_w[e]);
    };
    const o::table gate = stack_of(layer.router().template step<0>().weight)[0];
    moe::matrix<double> y(x.rows, layer.outputs());
    for (index_t t = 0; t < x.rows; ++t) {
        const o::row token(x.row(t), x.row(t) + x.cols);
        const o::row scores = o::softmax(o::linear_gate(token, gate));
        o::routed routes = o::gather(o::top_k(scores, o::id(per_token)), scores);
        routes = o::weigh(routes, o::renormalize(o::weights(routes), 0.0, 0.0));
        o::table rows;
        for (const o::route& r : routes) rows.push_back(expert(r.expert, token));
        const o::row out = o::weighted_sum(routes, rows, o::id(layer.outputs()));
        std::copy(out.begin(), out.end(), y.view().row(t));
    }
    return y;
}

// Empty, or what is wrong with the layer's output y: all of it against the oracle where sizes are tiny, its first
// tokens against the reference backend elsewhere.
template <class Format>
std::string check_output(const layer_type<Format>& layer, const layer_shape& shape,
                         const layer_input<typename Format::scalar>& input,
                         moe::matrix_view<const typename Format::scalar> y) {
    using T = typename Format::scalar;
    if (options().tiny) {
        const moe::matrix<double> wanted = oracle_layer<Format>(layer, input.x.view(), shape.per_token);
        return error_of(y, wanted.view()) <= Format::tolerated ? "" : "differs from the oracle";
    }
    const index_t few = std::min(y.rows, index_t{2});
    moe::reference reference;
    const moe::matrix<T> wanted = layer(reference, input.batch(few));
    return error_of(y.middle_rows(0, few), wanted.view()) <= Format::tolerated ? "" : "differs from the reference";
}

}  // namespace bench
