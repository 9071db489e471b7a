// More whole layers against the oracle: own weights, latent and rank-one experts, coupled choices, layers of layers.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_whole.hpp"

namespace {

using moe::layer;
using moe::router;

moe::linear_gate<double> gate(moe::index_t experts) { return {{.features = 6, .experts = experts}}; }

}  // namespace

TEST_CASE("doge and peer: product keys, softmax over the selected, rank-one experts") {
    agrees(layer{router{moe::product_keys_gate<double>{{.features = 6, .experts = 9}}, moe::product_keys{3},
                        moe::softmax_selected{}},
                 moe::rank_one_bank<double, moe::gelu>{{.features = 6, .experts = 9}}},
           [](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   const auto& g = l.router().template step<0>();
                   const oracle::row z = oracle::product_keys_gate(v, values(g.first)[0], values(g.second)[0]);
                   const oracle::routed r = oracle::product_keys(z, z, 3);
                   const auto bank = [&](oracle::id e, const oracle::row& u) {
                       return oracle::rank_one_bank(values(l.experts().in.view()), values(l.experts().out.view()),
                                                    oracle::gelu, e, u);
                   };
                   return mixture(oracle::weigh(r, oracle::softmax_selected(oracle::weights(r), 1.0)), bank, v);
               });
           });
}

TEST_CASE("nemotron_h: latent experts and a projected sum; klear: two coefficients") {
    using relu2 = moe::ffn_bank<double, moe::relu_squared>;
    agrees(layer{router{gate(5), moe::sigmoid{}, moe::top_k{2}},
                 moe::latent_input{relu2{{.features = 3, .hidden = 4, .experts = 5}}, {.features = 6}},
                 moe::coefficient_shared{small_swiglu(1)}, moe::projected_sum<double>{{.inputs = 3, .outputs = 6}}},
           [](const auto& l, const problem& p, const oracle::table& x) {
               return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                   const oracle::row s = oracle::sigmoid(logits_of(l, v));
                   const oracle::routed r = oracle::gather(oracle::top_k(s, 2), s);
                   const oracle::bank inner = ffn_of(l.experts().bank, plain(oracle::relu_squared));
                   const oracle::table rows = rows_of(
                       r,
                       [&](oracle::id e, const oracle::row& u) {
                           return oracle::latent_input(inner, values(l.experts().projection)[0], e, u);
                       },
                       v);
                   const auto& mix = l.template part<2>();
                   return oracle::coefficient_shared(
                       oracle::projected_sum(r, rows, values(l.template part<3>().projection)[0]),
                       ffn_of(mix.bank(), swiglu), 1, v, values(mix.coefficient.weight)[0],
                       first_row(mix.coefficient.bias));
               });
           });
}

TEST_CASE("expert choice and nllb: choices and capacities of the whole batch") {
    const auto outputs = [](const auto& l, const problem& p, const oracle::table& x, const oracle::routed& r) {
        return by_token(p, x, 6, [&](oracle::id t, const oracle::row& v) {
            oracle::routed own = r;
            std::erase_if(own, [=](auto& s) { return s.token != t; });
            return mixture(oracle::weigh(own, oracle::renormalize(oracle::weights(own), 0.0, 1e-9)),
                           ffn_of(l.experts(), swiglu), v);
        });
    };
    const auto scores = [](const auto& l, const problem& p, const oracle::table& x) {
        oracle::table s;
        for (oracle::id t = 0; t < x.size(); ++t)
            s.push_back(p.live(t) ? oracle::softmax(logits_of(l, x[t])) : oracle::row(6, -oracle::infinity));
        return s;
    };
    agrees(layer{router{gate(6), moe::softmax{}, moe::expert_choice{.capacity = 2}, moe::renormalize{.least = 1e-9}},
                 small_swiglu(6)},
           [&](const auto& l, const problem& p, const oracle::table& x) {
               const oracle::table s = scores(l, p, x);
               oracle::routed r;
               for (oracle::id e = 0; e < 6; ++e) {
                   oracle::row column;
                   for (const oracle::row& of : s) column.push_back(of[e]);
                   for (const oracle::id t : oracle::expert_choice(column, 2)) r.push_back({e, s[t][e], 0, t});
               }
               return outputs(l, p, x, r);
           });
    agrees(layer{router{gate(6), moe::softmax{}, moe::first_and_second{},
                        moe::capacity{{.factor = 0.5, .priority = moe::capacity_priority::choice_rank}},
                        moe::renormalize{.least = 1e-9}},
                 small_swiglu(6)},
           [&](const auto& l, const problem& p, const oracle::table& x) {
               const oracle::table s = scores(l, p, x);
               oracle::routed r;
               double n = 0.0;
               for (oracle::id t = 0; t < 9; ++t) {
                   n += p.live(t) ? 1.0 : 0.0;
                   const oracle::ids two = oracle::first_and_second(s[t], oracle::second::all, s[t], s[t], s[t], 0.0);
                   for (const auto& one : oracle::gather(two, s[t], t)) r.push_back(one);
               }
               const oracle::id c = oracle::capacity_of(n, 2.0 * n, 6.0, 0.5, [](double v) { return std::ceil(v); });
               return outputs(l, p, x, oracle::capacity(r, c, oracle::priority::choice_rank));
           });
}

TEST_CASE("phimoe: sparsemixer weighs by its own rule") {
    agrees(
        layer{router{gate(6), moe::sparsemixer{2, 0.3}}, small_swiglu(6)},
        [](const auto& l, const problem& p, const oracle::table& x) {
            return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
                return mixture(oracle::sparsemixer(logits_of(l, v), 2, 0.3, {}, {}), ffn_of(l.experts(), swiglu), v);
            });
        },
        false);  // its gradient is an estimator, not that of its forward
}

TEST_CASE("residual and iterated layers add their skip paths") {
    const layer inner{router{gate(6), moe::softmax{}, moe::top_k{2}}, small_swiglu(6),
                      moe::averaged_shared{small_swiglu(1)}};
    const auto once = [](const auto& l, const problem& p, const oracle::table& x) {
        return by_token(p, x, 6, [&](oracle::id, const oracle::row& v) {
            const oracle::row s = oracle::softmax(logits_of(l, v));
            return oracle::averaged_shared(
                mixture(oracle::gather(oracle::top_k(s, 2), s), ffn_of(l.experts(), swiglu), v),
                ffn_of(l.template part<2>().bank(), swiglu), 1, v);
        });
    };
    agrees(moe::residual{inner, {.skip = 0.5, .scale = -2.0}},
           [&](const auto& l, const problem& p, const oracle::table& x) {
               const oracle::table y = once(l.inner, p, x);
               return by_token(
                   p, x, 6, [&](oracle::id t, const oracle::row& v) { return oracle::residual(y[t], v, 0.5, -2.0); });
           });
    for (const bool outer : {false, true}) {
        agrees(moe::iterated{inner,
                             std::vector<std::decay_t<decltype(inner.router())>>{},
                             {.times = 2, .inner_residual = !outer, .outer_residual = outer}},
               [&](const auto& l, const problem& p, const oracle::table& x) {
                   const std::function<oracle::table(oracle::table)> pass = [&](const oracle::table& now) {
                       return once(l.inner, p, now);
                   };
                   const oracle::table y = oracle::iterated(x, {pass, pass}, outer ? 0.0 : 1.0);
                   return by_token(p, x, 6, [&](oracle::id t, const oracle::row& v) {
                       return oracle::residual(y[t], v, outer ? 1.0 : 0.0, 1.0);
                   });
               });
    }
}
