// testing/oracle: the layer as a specification: one plain function per part, on the row of one token, in double
// SPDX-License-Identifier: Apache-2.0
//
// A second implementation that shares views and routes with the library and nothing else; slow, without gradients or
// checks. Formulas and sources: docs/parts.md. Here experts, combine, shared experts, layers; the router in oracle/.
#pragma once

#include "moe/testing/oracle/routes.hpp"

MOE_BEGIN
namespace testing::oracle {

inline double relu(double z) { return z < 0.0 ? 0.0 : z; }
inline double relu_squared(double z) { return relu(z) * relu(z); }  // Primer, Nemotron-H
inline double gelu(double z) { return 0.5 * z * (1.0 + std::erf(z / std::sqrt(2.0))); }
inline double gelu_tanh(double z) {
    return 0.5 * z * (1.0 + std::tanh(std::sqrt(2.0 / std::acos(-1.0)) * (z + 0.044715 * z * z * z)));
}
inline double silu(double z) { return z * logistic(z); }
inline double identity_activation(double z) { return z; }
inline double scaled_linear(double z, double c) { return c * z; }
// Of the gate's and the up projection's value; limits leave NaN alone. Shazeer 2020, gpt-oss, DeepSeek-V4, Step-3.7, K3
inline double gated(double g, double u, function act) { return act(g) * u; }
inline double at_most(double v, double limit) { return v > limit ? limit : v; }
inline double within(double v, double limit) { return v < -limit ? -limit : at_most(v, limit); }
inline double scaled_swiglu(double g, double u, double alpha, double limit) {
    return at_most(g, limit) * logistic(alpha * at_most(g, limit)) * (within(u, limit) + 1.0);
}
inline double clamp_before_swiglu(double g, double u, double l) { return silu(at_most(g, l)) * within(u, l); }
inline double clamp_after_swiglu(double g, double u, double l) { return at_most(silu(g), l) * within(u, l); }
inline double situ(double g, double u, double beta, double lambda) {
    return beta * std::tanh(g / beta) * logistic(g) * lambda * std::tanh(u / lambda);
}

// A bank gives the output of expert e for a row x.
using bank = std::function<row(id e, row x)>;

// down (w act(gate x + b, up x + b)) + b; w is 1 but in weigh_hidden, act ignores its first argument where there is no
// gate. With adapters W x becomes W x + alpha / rank B (A x).
struct weight {
    stack w;     // [E,outputs,inputs]
    table bias;  // [E,outputs] or empty
    stack a, b;  // [E,rank,inputs], [E,outputs,rank] or empty
};
struct ffn {
    function_of_two act;
    weight gate, up, down;
    double alpha = 1.0;
};
inline row low_rank_bank(stack a, stack b, double alpha, id e, row x) {  // LoRA (Hu et al. 2021)
    return scale(linear_gate(linear_gate(x, a[e]), b[e]), alpha / static_cast<double>(a[e].size()));
}
inline row weigh_hidden(ffn f, id e, row x, double w) {  // PEER, MegaBlocks
    const auto product = [&](weight of, row v) {
        const row z = linear_gate(v, of.w[e], of.bias.empty() ? row{} : of.bias[e]);
        return of.a.empty() ? z : plus(z, low_rank_bank(of.a, of.b, f.alpha, e, v), 1.0);
    };
    const row u = product(f.up, x), g = f.gate.w.empty() ? u : product(f.gate, x);
    return product(f.down, scale(zip(g, u, f.act), w));
}
inline row ffn_bank(ffn f, id e, row x) { return weigh_hidden(f, e, x, 1.0); }
inline row weigh_input(bank b, id e, row x, double w) { return b(e, scale(x, w)); }        // Llama 4
inline row null_bank(id outputs) { return row(outputs); }                                  // AdaMoE
inline row identity_bank(row x) { return x; }                                              // LongCat-Flash
inline row constant_bank(table value, id e) { return value[e]; }                           // MoE++
inline row latent_input(bank b, table p, id e, row x) { return b(e, linear_gate(x, p)); }  // Nemotron-H
inline row rank_one_bank(table in, table out, function act, id e, row x) {                 // PEER
    return scale(out[e], act(linear_gate(x, {in[e]})[0]));
}
inline row lora_bank(ffn adapted, id e, row x) { return ffn_bank(adapted, e, x); }  // MixLoRA
inline row bank_sum(bank a, bank b, id e, row x) { return plus(a(e, x), b(e, x), 1.0); }  // PERFT
// a has so many experts, b the next. HMoE, MoE++
inline row banks(bank a, id experts, bank b, id e, row x) { return e < experts ? a(e, x) : b(e - experts, x); }
// One feed-forward expert whose weights are the sum of w W[e] over the routes; no routes: zeros. SMEAR, Lory
inline row soft_merge_bank(ffn f, routed r, row x) {
    ffn merged = f;
    const auto merge = [&](row& to, const std::function<row(id)>& of) {
        to = row(to.size());
        for (const route& s : r) to = plus(to, of(s.expert), s.weight);
    };
    for (weight ffn::*part : {&ffn::gate, &ffn::up, &ffn::down}) {
        const auto& [w, bias, a, b] = f.*part;
        if (!bias.empty()) merge((merged.*part).bias[0], [&, &all = bias](id e) { return all[e]; });
        for (id n = 0; !w.empty() && n < w[0].size(); ++n) {
            merge((merged.*part).w[0][n], [&, &all = w](id e) { return all[e][n]; });
        }
    }
    return ffn_bank(merged, 0, x);
}
// The output of a token from its routes and their rows.
inline row weighted_sum(routed r, table rows, id outputs) {
    row y(outputs);
    for (id i = 0; i < r.size(); ++i) y = plus(y, rows[i], r[i].weight);
    return y;
}
inline row row_sum(routed r, table rows, id n) { return weighted_sum(weigh(r, row(r.size(), 1.0)), rows, n); }
inline row scaled_sum(routed r, table rows, id outputs, double c) { return scale(weighted_sum(r, rows, outputs), c); }
inline row biased_sum(routed r, table rows, row b) { return plus(weighted_sum(r, rows, b.size()), b, 1.0); }  // JetMoE
inline row projected_sum(routed r, table rows, table q) { return linear_gate(weighted_sum(r, rows, q[0].size()), q); }
inline row concat(routed r, table rows, id outputs, id k, bool weighted) {  // ViTPose
    row y(k * outputs);
    for (id i = 0; i < r.size(); ++i) {
        for (id n = 0; n < outputs; ++n) y[r[i].slot * outputs + n] = (weighted ? r[i].weight : 1.0) * rows[i][n];
    }
    return y;
}

// Shared experts: y + c sum of all experts of a bank.
inline row shared(row y, bank b, id experts, row x, double c = 1.0) {  // DeepSeekMoE
    for (id e = 0; e < experts; ++e) y = plus(y, b(e, x), c);
    return y;
}
inline row gated_shared(row y, bank b, id experts, row x, row v) {  // Qwen2-MoE
    return shared(y, b, experts, x, logistic(linear_gate(x, {v})[0]));
}
inline row averaged_shared(row y, bank b, id experts, row x) { return scale(shared(y, b, experts, x), 0.5); }
inline row coefficient_shared(row y, bank b, id experts, row x, table coefficient, row bias) {  // Klear
    const row a = softmax(linear_gate(x, coefficient, bias));
    return shared(scale(y, a[0]), b, experts, x, a[1]);
}
inline row residual(row y, row x, double skip, double c) { return plus(scale(x, skip), y, c); }  // Granite, MiniMax

// x_i = layer_i(x_i-1) + skip x_i-1. Chain-of-Experts
inline table iterated(table x, std::vector<std::function<table(table)>> layers, double skip) {
    for (const auto& layer : layers) {
        const table y = layer(x);
        for (id t = 0; t < x.size(); ++t) x[t] = residual(y[t], x[t], skip, 1.0);
    }
    return x;
}

}  // namespace testing::oracle
MOE_END
