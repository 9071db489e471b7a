// Whole layers of published models on the reference backend against the oracle, outputs and gradients.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_whole.hpp"

namespace {

using moe::layer;
using moe::router;

moe::linear_gate<double> gate(moe::index_t experts, bool bias = false) {
    return {{.features = 6, .experts = experts, .bias = bias}};
}

}  // namespace

TEST_CASE("mixtral and qwen: softmax, top-k, renormalised, a gated shared expert") {
    const auto routes = [](const auto& l, const oracle::row& x, double normalise) {
        const oracle::row p = oracle::softmax(logits_of(l, x));
        const oracle::routed r = oracle::gather(oracle::top_k(p, 2), p);
        return normalise == 0.0 ? r : oracle::weigh(r, oracle::renormalize(oracle::weights(r), 0.0, 0.0));
    };
    agrees(layer{router{gate(6), moe::softmax{}, moe::top_k{2}, moe::renormalize{}}, small_swiglu(6)},
           [&](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   return mixture(routes(l, v, 1.0), ffn_of(l.experts(), swiglu), v);
               });
           });
    agrees(layer{router{gate(6), moe::softmax{}, moe::top_k{2}}, small_swiglu(6), moe::gated_shared{small_swiglu(1)}},
           [&](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   const auto& s = l.template part<2>();
                   return oracle::gated_shared(mixture(routes(l, v, 0.0), ffn_of(l.experts(), swiglu), v),
                                               ffn_of(s.bank(), swiglu), 1, v, values(s.gate.weight)[0][0]);
               });
           });
}

TEST_CASE("deepseek_v3: sigmoid, a bias in the choice only, groups, scaled weights, shared experts") {
    for (const double fill : {-oracle::infinity, 0.0}) {
        moe::selection_bias bias{6};
        const oracle::row b{0.5, -1.5, -0.25, -2.0, 0.125, -1.0};
        for (std::size_t e = 0; e < 6; ++e) bias.bias[e] = float(b[e]);
        agrees(layer{router{gate(6), moe::sigmoid{}, bias, moe::group_limit{3, 2, 2, fill}, moe::top_k{3},
                            moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5}},
                     small_swiglu(6), moe::shared{small_swiglu(2)}},
               [&](const auto& l, const problem& p, const oracle::table& x) {
                   return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                       const oracle::row s = oracle::sigmoid(logits_of(l, v));
                       const oracle::row keys = oracle::group_limit(oracle::selection_bias(s, b), 3, 2, 2, fill);
                       oracle::routed r = oracle::gather(oracle::top_k(keys, 3), s);
                       r = oracle::weigh(r, oracle::scale(oracle::renormalize(oracle::weights(r), 1e-20, 0.0), 2.5));
                       return oracle::shared(mixture(r, ffn_of(l.experts(), swiglu), v),
                                             ffn_of(l.template part<2>().bank(), swiglu), 2, v);
                   });
               });
    }
}

TEST_CASE("switch: one expert per token, capacity by sequence, what does not fit passes") {
    const moe::capacity_pass capacity{{.count = 1, .scope = moe::capacity_scope::sequence}};
    agrees(layer{router{gate(3), moe::softmax{}, moe::top_k{1}, capacity},
                 moe::banks{moe::relu_bank<double>{{.features = 6, .hidden = 4, .experts = 3}},
                            moe::identity_bank<double>{{.features = 6, .experts = 1}}}},
           [](const auto& l, const problem& p, const oracle::table& x) {
               oracle::routed kept;
               for (const oracle::ids& cut : {oracle::ids{0, 4}, oracle::ids{4, 9}}) {
                   oracle::routed r;
                   for (oracle::id t = cut[0]; t < cut[1]; ++t) {
                       const oracle::row s = oracle::softmax(logits_of(l, x[t]));
                       for (const auto& one : oracle::gather(oracle::top_k(s, p.live(t) ? 1 : 0), s, t))
                           r.push_back(one);
                   }
                   for (const auto& one : oracle::capacity_pass(r, 1, 3, oracle::priority::order)) kept.push_back(one);
               }
               const oracle::bank relu = ffn_of(l.experts().template bank<0>(), plain(oracle::relu));
               const oracle::bank same = [](oracle::id, const oracle::row& v) { return v; };
               return by_token(p, x, 6, [&](oracle::id t, const oracle::row& v) {
                   oracle::routed own = kept;
                   std::erase_if(own, [=](auto& s) { return s.token != t; });
                   return mixture(
                       own, [&](oracle::id e, const oracle::row& u) { return oracle::banks(relu, 3, same, e, u); }, v);
               });
           });
}

TEST_CASE("gpt_oss: logits with bias, softmax over the selected, its clamped activation") {
    using bank = moe::ffn_bank<double, moe::scaled_swiglu>;
    agrees(layer{router{gate(6, true), moe::top_k{3}, moe::softmax_selected{}},
                 bank{{.features = 6, .hidden = 3, .experts = 6, .bias = true},
                      moe::scaled_swiglu{{.alpha = 1.702, .limit = 0.9}}}},
           [](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   const oracle::row z = logits_of(l, v);
                   const oracle::routed r = oracle::gather(oracle::top_k(z, 3), z);
                   return mixture(
                       oracle::weigh(r, oracle::softmax_selected(oracle::weights(r), 1.0)),
                       ffn_of(l.experts(), [](double g, double u) { return oracle::scaled_swiglu(g, u, 1.702, 0.9); }),
                       v);
               });
           });
}

TEST_CASE("llama4: the sigmoid of the selected logit on the input, a shared expert") {
    agrees(layer{router{gate(6), moe::top_k{1}, moe::sigmoid_selected{}}, moe::weigh_input{small_swiglu(6)},
                 moe::shared{small_swiglu(1)}},
           [](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   const oracle::row z = logits_of(l, v);
                   oracle::routed r = oracle::gather(oracle::top_k(z, 1), z);
                   r = oracle::weigh(r, oracle::sigmoid_selected(oracle::weights(r)));
                   oracle::table rows;
                   for (const auto& s : r)
                       rows.push_back(oracle::weigh_input(ffn_of(l.experts().bank, swiglu), s.expert, v, s.weight));
                   return oracle::shared(oracle::row_sum(r, rows, 6), ffn_of(l.template part<2>().bank(), swiglu), 1,
                                         v);
               });
           });
}
