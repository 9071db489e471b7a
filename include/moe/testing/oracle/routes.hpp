// testing/oracle/routes: keys and scores of a token -> its slots: every selector and route step
// SPDX-License-Identifier: Apache-2.0
//
// A selector gives the experts of a token's slots, whose weights are the scores (gather), or routes. Where it looks at
// all tokens, the keys of padding are -inf.
#pragma once

#include "moe/testing/oracle/scores.hpp"

MOE_BEGIN
namespace testing::oracle {

inline constexpr id nobody = static_cast<id>(-1);  // in a slot that stays empty
struct route {
    id expert = 0;
    double weight = 0.0;
    id slot = 0, token = 0;
};
using routed = std::vector<route>;  // the live slots of a token, or of several

inline routed gather(ids chosen, row scores, id token = 0) {
    routed r;
    for (id j = 0; j < chosen.size(); ++j) {
        if (chosen[j] != nobody) r.push_back({chosen[j], scores[chosen[j]], j, token});
    }
    return r;
}
inline row weights(routed r) {
    row w;
    for (const route& s : r) w.push_back(s.weight);
    return w;
}
inline routed weigh(routed r, row w) {
    for (id i = 0; i < r.size(); ++i) r[i].weight = w[i];
    return r;
}
inline ids top_k(row keys, id k) {  // Shazeer et al. 2017
    ids order = best_of(keys, k);
    order.resize(k, nobody);
    return order;
}
inline ids rank_set(row keys, ids ranks) {  // SCMoE
    for (id& r : ranks) r = top_k(keys, r + 1)[r];
    return ranks;
}
inline ids external(ids given) { return given; }  // with the batch
inline ids token_table(row keys, ids of_token) {  // hash layers (Roller et al. 2021), DeepSeek-V4
    for (id& e : of_token) e = e == nobody || is_excluded(keys[e]) ? nobody : e;
    return of_token;
}
inline ids label_table(row keys, ids of_label) { return token_table(keys, of_label); }  // ViTPose+
inline ids dense(row keys) {
    ids all(keys.size());
    std::iota(all.begin(), all.end(), id{0});
    return token_table(keys, all);
}
// The smallest n with S(n) >= p (exceed: > p), S(n) the sum of the n best keys; without include_crossing the largest n
// with S(1), ..., S(n) <= p; at least and at most so many. Holtzman et al. 2020, Dynamic MoE, DynMoLE
inline ids top_p(row keys, double p, bool include_crossing, bool exceed, id least, id most) {
    double sum = 0.0;
    id n = 0;
    for (const id e : best_of(keys)) {
        if (include_crossing ? exceed ? sum > p : sum >= p : !(sum + keys[e] <= p)) break;
        sum += keys[e];
        ++n;
    }
    return best_of(keys, std::clamp(n, least, most));
}
inline ids threshold(row keys, double value, bool inclusive, id least, id most) {  // MoMa, BlockFFN
    const auto low = [=](double q) { return !(inclusive ? q >= value : q > value); };
    return best_of(keys, std::clamp(without(keys, low).size(), least, most));
}
// The threshold is a quantile, linear between neighbours, or mean + q deviations, of all keys but NaN and -inf. DynaMoE
inline ids batch_threshold(row keys, row all, bool quantile, double q, bool inclusive, id least, id most) {
    all = without(without(all, is_nan), is_excluded);
    std::sort(all.begin(), all.end());
    const double h = q * (static_cast<double>(all.size()) - 1.0);
    double value = mean_of(all) + q * std::sqrt(variance_of(all));
    if (quantile && !all.empty()) {
        const double low = all[static_cast<id>(std::floor(h))], high = all[static_cast<id>(std::ceil(h))];
        value = low == high ? low : low + (h - std::floor(h)) * (high - low);
    }
    return threshold(keys, value, inclusive, least, most);
}
inline ids token_threshold(row keys, bool quantile, double q, bool inclusive, id least, id most) {
    return batch_threshold(keys, keys, quantile, q, inclusive, least, most);
}
// The n best pairs t E + e of the keys of all tokens, and with keep_ties all that equal the last. Expert Race
inline ids global_top(row pairs, id n, bool keep_ties) {
    ids best = best_of(pairs);
    id end = std::min(n, best.size());
    while (keep_ties && end > 0 && end < best.size() && pairs[best[end]] == pairs[best[end - 1]]) ++end;
    best.resize(end);
    return best;
}
inline ids expert_choice(row tokens, id capacity) { return best_of(tokens, capacity); }  // Zhou et al. 2022

// Expert i n + j has the key q[i] + q[n + j], and its score likewise. Lample et al. 2019, PEER, Doge
inline row sums_of_pairs(row q) {
    const id n = q.size() / 2;
    row sums;
    for (id e = 0; e < n * n; ++e) sums.push_back(q[e / n] + q[n + e % n]);
    return sums;
}
inline routed product_keys(row keys, row scores, id k) {
    return gather(top_k(sums_of_pairs(keys), k), sums_of_pairs(scores));
}

// The best; then the best of the others, or a draw by logit + g, or the best if 2 of its score > u. GShard, NLLB
enum class second { all, sampling, random };
inline ids first_and_second(row keys, second how, row logits, row g, row scores, double u) {
    ids two = top_k(keys, 2);
    row drawn = zip(plus(logits, g, 1.0), keys, [](double z, double q) { return is_excluded(q) ? q : z; });
    if (two[0] != nobody) drawn[two[0]] = -infinity;
    if (how == second::sampling) two[1] = top_k(drawn, 1)[0];
    if (how == second::random && two[1] != nobody && !(2.0 * scores[two[1]] > u)) two[1] = nobody;
    return two;
}
// Round by round, with m the best z not taken yet: e is kept unless (m - z_e) / max(|z_e|, m) > 2 epsilon; the best z
// is taken, while training the best z + g of the kept. Its weight is the softmax of the kept at it, while training
// times 0.3333 unless it is the best or u > 0.75. g [rounds,E], u [rounds], empty outside of training. SparseMixer-v2
inline routed sparsemixer(row z, id k, double epsilon, table g, row u) {
    routed r;
    for (id i = 0; i < k && !best_of(z).empty(); ++i) {
        const id best = best_of(z)[0];
        const auto behind = [&, m = z[best]](double v) { return (m - v) / std::max(std::abs(v), m) > 2.0 * epsilon; };
        const row kept = each(z, [&](double v) { return behind(v) ? -infinity : v; });
        const id taken = g.empty() ? best : best_of(plus(kept, g[i], 1.0))[0];
        const double factor = u.empty() || taken == best || u[i] > 0.75 ? 1.0 : 0.3333;
        r.push_back({taken, factor * softmax(kept)[taken], i, 0});
        z[taken] = -infinity;
    }
    return r;
}
// What the selector chooses, which sees these experts too or (hidden) does not, and then these. Inkling
inline ids always_on(row keys, ids experts, bool hidden, std::function<ids(row)> selector) {
    row seen = keys;
    for (const id e : experts) seen[e] = hidden ? -infinity : keys[e];
    ids both = selector(seen);
    for (const id e : experts) both.push_back(has(both, e) || is_excluded(keys[e]) ? nobody : e);
    return both;
}

// Steps on the weights of the live slots of a token.
inline row scale(row w, double c) { return learned_scale(w, c, 1.0); }                   // DeepSeek-V2
inline row learned_weight_scale(row w, double c) { return scale(w, c); }                 // Inkling
inline row constant_weights(row w, double c) { return row(w.size(), c); }                // UoE, ReMix
inline row sigmoid_selected(row w) { return sigmoid(w); }                                // Llama 4
inline row softmax_selected(row w, double tau) { return softmax(temperature(w, tau)); }  // gpt-oss
inline row over(row w, double by) { return by == 0.0 ? w : temperature(w, by); }         // 0 / 0 is 0
// Mixtral
inline row renormalize(row w, double epsilon, double least) { return over(w, std::max(sum_of(w) + epsilon, least)); }
inline row p_norm(row w, double p, double epsilon) {  // DBRX
    const row powers = each(w, [=](double v) { return std::pow(std::abs(v), p); });
    return over(w, std::pow(sum_of(powers), 1.0 / p) + epsilon);
}
inline routed per_expert_scale(routed r, row c) {  // Gemma 4
    for (route& s : r) s.weight *= c[s.expert];
    return r;
}
inline routed drop(routed r, const std::function<bool(route)>& goes) {
    std::erase_if(r, goes);
    return r;
}
// AdaMoE, Zaya
inline routed null_experts(routed r, id first) { return drop(r, [=](route s) { return s.expert >= first; }); }
inline routed drop_below(routed r, double ratio, double least) {  // MC-MoE
    double most = 0.0;
    for (const route& s : r) most = std::fmax(most, s.weight);
    const double bound = std::max(most > 0.0 ? ratio * most : -infinity, least > 0.0 ? least : -infinity);
    return drop(r, [=](route s) { return s.weight < bound; });
}

// C = max(least, round(factor routes / experts)) up to a multiple, at most n tokens (GShard, Switch); per_choice:
// k round(factor ceil(n / experts)) (Tutel).
inline id capacity_of(double n, double routes, double experts, double factor, function round, double least = 0.0,
                      double multiple = 1.0, bool per_choice = false) {
    if (n == 0.0) return 0;
    const double share = round(per_choice ? factor * std::ceil(n / experts) : factor * routes / experts);
    const double wanted = per_choice ? routes / n * share : share;
    return static_cast<id>(std::min(std::ceil(std::max(wanted, least) / multiple) * multiple, n));
}
// By priority, smaller first; u [T,E]. Then what fits: fewer than C of the same expert go first.
enum class priority { order, last, choice_rank, token_score, score, random };
inline row rank_of(routed r, route s, priority by, table u) {
    const double t = static_cast<double>(s.token), j = static_cast<double>(s.slot), w = s.weight;
    double best = -infinity;
    for (const route& other : r) best = other.token == s.token ? std::fmax(best, other.weight) : best;
    if (by == priority::order) return {t, j};
    if (by == priority::last) return {-t, -j};
    if (by == priority::choice_rank) return {j, t};
    if (by == priority::token_score) return {j, -best, t};
    if (by == priority::random) return {u[s.token][s.expert], t, j};
    return {std::isnan(w) ? 1.0 : 0.0, std::isnan(w) ? 0.0 : -w, t, j};
}
inline std::vector<bool> fits(routed r, id c, priority by, table u) {
    std::vector<bool> fit;
    for (const route& s : r) {
        const row own = rank_of(r, s, by, u);
        const auto before = [&](route o) { return o.expert == s.expert && rank_of(r, o, by, u) < own; };
        fit.push_back(static_cast<id>(std::count_if(r.begin(), r.end(), before)) < c);
    }
    return fit;
}
inline routed capacity(routed r, id c, priority by, table u = {}) {  // Switch, GShard, V-MoE
    const std::vector<bool> fit = fits(r, c, by, u);
    id i = 0;
    return drop(r, [&](route) { return !fit[i++]; });
}
// What does not fit goes to expert E, once per token with the sum of the weights. Switch in transformers v4
inline routed capacity_pass(routed r, id c, id experts, priority by, table u = {}) {
    const std::vector<bool> fit = fits(r, c, by, u);
    routed passed;
    for (id i = 0; i < r.size(); ++i) {
        const auto same = [&](route s) { return s.token == r[i].token && s.expert == experts; };
        const auto old = std::find_if(passed.begin(), passed.end(), same);
        if (!fit[i]) r[i].expert = experts;
        if (fit[i] || old == passed.end()) passed.push_back(r[i]);
        else old->weight += r[i].weight;
    }
    return passed;
}
// What does not fit moves, one after the other, to the least loaded expert with room that the token has not got, with
// its score. keys, scores [T,E]
inline routed capacity_reroute(routed r, id c, table keys, table scores, priority by, table u = {}) {
    const std::vector<bool> fit = fits(r, c, by, u);
    ids load(keys.empty() ? 0 : keys[0].size());
    for (id i = 0; i < r.size(); ++i) load[r[i].expert] += fit[i] ? 1 : 0;
    for (id i = 0; i < r.size(); ++i) {
        if (fit[i]) continue;
        id to = nobody;
        for (id e = 0; e < load.size(); ++e) {
            const auto same = [&](route s) { return s.token == r[i].token && s.expert == e; };
            if (load[e] >= c || is_excluded(keys[r[i].token][e]) || std::any_of(r.begin(), r.end(), same)) continue;
            if (to == nobody || load[e] < load[to]) to = e;
        }
        r[i].expert = to;
        if (to == nobody) continue;
        ++load[to];
        r[i].weight = scores[r[i].token][to];
    }
    return drop(r, [](route s) { return s.expert == nobody; });
}

}  // namespace testing::oracle
MOE_END
