// testing/oracle: the layer as a specification: one plain function per part, on the row of one token, in double
// SPDX-License-Identifier: Apache-2.0
//
// A second implementation that shares views and routes with the library and nothing else; slow, without gradients,
// parallelism or checks. oracle/scores: gates, score and key steps; oracle/routes: selectors and route steps; here
// experts, combine, shared experts, layers. Formulas and sources: docs/parts.md.
#pragma once

#include "moe/testing/oracle/routes.hpp"

MOE_BEGIN
namespace testing::oracle {

inline double relu(double z) { return z < 0.0 ? 0.0 : z; }
inline double relu_squared(double z) { return relu(z) * relu(z); }  // Primer, Nemotron-H
inline double gelu(double z) { return 0.5 * z * (1.0 + std::erf(z / std::sqrt(2.0))); }
inline double gelu_tanh(double z) {
    return 0.5 * z * (1.0 + std::tanh(std::sqrt(2.0 / 3.14159265358979323846) * (z + 0.044715 * z * z * z)));
}
inline double silu(double z) { return z * logistic(z); }
inline double identity_activation(double z) { return z; }
inline function scaled_linear(double c) { return [=](double z) { return c * z; }; }

// Of the gate's and the up projection's value; limits leave NaN alone.
inline double at_most(double v, double limit) { return v > limit ? limit : v; }
inline double within(double v, double limit) { return v < -limit ? -limit : at_most(v, limit); }
inline function_of_two plain(function act) { return [=](double, double u) { return act(u); }; }
inline function_of_two gated(function act) {
    return [=](double g, double u) { return act(g) * u; };
}  // Shazeer 2020
inline function_of_two scaled_swiglu(double alpha, double limit) {  // gpt-oss
    return [=](double g, double u) {
        return at_most(g, limit) * logistic(alpha * at_most(g, limit)) * (within(u, limit) + 1.0);
    };
}
inline function_of_two clamp_before_swiglu(double limit) {  // DeepSeek-V4
    return [=](double g, double u) { return silu(at_most(g, limit)) * within(u, limit); };
}
inline function_of_two clamp_after_swiglu(double limit) {  // Step-3.7
    return [=](double g, double u) { return at_most(silu(g), limit) * within(u, limit); };
}
inline function_of_two situ(double beta, double lambda) {  // Kimi-K3
    return
        [=](double g, double u) { return beta * std::tanh(g / beta) * logistic(g) * lambda * std::tanh(u / lambda); };
}

// A bank gives the output of expert e for a row x.
using bank = std::function<row(id e, row x)>;

// down (w act(gate x + b, up x + b)) + b; w is 1 but in weigh_hidden. Without a gate the activation is a plain one.
struct ffn {
    function_of_two act;
    stack gate, up, down;                 // [E,H,D], [E,H,D], [E,Dout,H]
    table gate_bias, up_bias, down_bias;  // [E,H], [E,H], [E,Dout], or empty
};
inline row weigh_hidden(ffn f, id e, row x, double w) {  // PEER, MegaBlocks
    const auto product = [&](stack weight, table bias) {
        return linear_gate(x, weight[e], bias.empty() ? row{} : bias[e]);
    };
    const row u = product(f.up, f.up_bias), g = f.gate.empty() ? u : product(f.gate, f.gate_bias);
    x = scale(zip(g, u, f.act), w);
    return product(f.down, f.down_bias);
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
inline row low_rank_bank(stack a, stack b, double alpha, id e, row x) {  // LoRA (Hu et al. 2021)
    return scale(linear_gate(linear_gate(x, a[e]), b[e]), alpha / static_cast<double>(a[e].size()));
}
// Every weight W becomes W + alpha / rank B A; adapters may be empty. LoRA, MixLoRA
struct adapter {
    stack a, b;  // [E,rank,inputs], [E,outputs,rank]
};
inline row lora_bank(ffn f, adapter gate, adapter up, adapter down, double alpha, id e, row x) {
    for (auto [w, to] : {std::pair(&gate, &f.gate), std::pair(&up, &f.up), std::pair(&down, &f.down)}) {
        if (w->a.empty()) continue;
        for (id k = 0; k < (*to)[e][0].size(); ++k) {
            row unit((*to)[e][0].size());
            unit[k] = 1.0;
            const row column = low_rank_bank(w->a, w->b, alpha, e, unit);
            for (id n = 0; n < column.size(); ++n) (*to)[e][n][k] += column[n];
        }
    }
    return ffn_bank(f, e, x);
}
// Banks side by side, with their numbers of experts. HMoE, MoE++
inline row banks(std::vector<std::pair<bank, id>> all, id e, row x) {
    id place = 0;
    for (; e >= all[place].second; ++place) e -= all[place].second;
    return all[place].first(e, x);
}
inline row bank_sum(std::vector<bank> all, id e, row x) {  // PERFT
    row sum = all[0](e, x);
    for (id i = 1; i < all.size(); ++i) sum = plus(sum, all[i](e, x), 1.0);
    return sum;
}
// One feed-forward expert whose weights are the sum of w W[e] over the routes; no routes: zeros. SMEAR, Lory
inline row soft_merge_bank(ffn f, routed r, row x) {
    ffn merged = f;
    for (auto part : {&ffn::gate, &ffn::up, &ffn::down}) {
        for (id n = 0; !(f.*part).empty() && n < (f.*part)[0].size(); ++n) {
            row sum((f.*part)[0][n].size());
            for (const route& s : r) sum = plus(sum, (f.*part)[s.expert][n], s.weight);
            (merged.*part)[0][n] = sum;
        }
    }
    for (auto part : {&ffn::gate_bias, &ffn::up_bias, &ffn::down_bias}) {
        if ((f.*part).empty()) continue;
        (merged.*part)[0] = row((f.*part)[0].size());
        for (const route& s : r) (merged.*part)[0] = plus((merged.*part)[0], (f.*part)[s.expert], s.weight);
    }
    return ffn_bank(merged, 0, x);
}

// The output of a token from its routes and their rows.
inline row weighted_sum(routed r, table rows, id outputs) {
    row y(outputs);
    for (id i = 0; i < r.size(); ++i) y = plus(y, rows[i], r[i].weight);
    return y;
}
inline row row_sum(routed r, table rows, id outputs) {
    return weighted_sum(weigh(r, row(r.size(), 1.0)), rows, outputs);
}
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
inline row averaged_shared(row y, bank b, id experts, row x) {
    return scale(shared(y, b, experts, x), 0.5);
}  // Cohere2
inline row coefficient_shared(row y, bank b, id experts, row x, table coefficient, row bias) {  // Klear
    const row a = softmax(linear_gate(x, coefficient, bias));
    return shared(scale(y, a[0]), b, experts, x, a[1]);
}
inline row residual(row y, row x, double skip, double c) { return plus(scale(x, skip), y, c); }  // Granite, MiniMax

// x_i = layer_i(x_i-1) + x_i-1; the skip paths are options. Chain-of-Experts
inline table iterated(table x, std::vector<std::function<table(table)>> layers, bool inner, bool outer) {
    table now = x;
    for (const auto& layer : layers) {
        const table y = layer(now);
        for (id t = 0; t < x.size(); ++t) now[t] = residual(y[t], now[t], inner ? 1.0 : 0.0, 1.0);
    }
    for (id t = 0; t < x.size(); ++t) now[t] = residual(now[t], x[t], outer ? 1.0 : 0.0, 1.0);
    return now;
}

}  // namespace testing::oracle
MOE_END
