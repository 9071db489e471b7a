// testing/oracle/scores: features of a token -> logits, scores and keys: every gate, score step and key step
// SPDX-License-Identifier: Apache-2.0
//
// Random numbers come in as numbers, one per expert: n normal, g Gumbel, u uniform in (0, 1); outside of training the
// steps that take them are left out. A step with a table by label takes the row of the token's label.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "moe/core/routes.hpp"

MOE_BEGIN
namespace testing::oracle {

using row = std::vector<double>;   // of one token: its features, scores, or an output
using table = std::vector<row>;    // of all tokens [T,E] or [T,D], or a weight [outputs, inputs]
using stack = std::vector<table>;  // weights of all experts [E, outputs, inputs]
using id = std::size_t;            // of an expert, or of a token
using ids = std::vector<id>;
using function = std::function<double(double)>;
using function_of_two = std::function<double(double g, double u)>;
inline constexpr double infinity = std::numeric_limits<double>::infinity();

inline row each(row z, function f) {
    for (double& v : z) v = f(v);
    return z;
}
inline row zip(row a, row b, const function_of_two& f) {
    for (id i = 0; i < a.size(); ++i) a[i] = f(a[i], b[i]);
    return a;
}
inline row plus(row a, row b, double c) { return zip(a, b, [=](double v, double w) { return v + c * w; }); }
inline double sum_of(row z) { return std::accumulate(z.begin(), z.end(), 0.0); }
inline double mean_of(row z) { return sum_of(z) / static_cast<double>(z.size()); }
inline double variance_of(row z) { return mean_of(each(z, [m = mean_of(z)](double v) { return (v - m) * (v - m); })); }
inline double largest_of(row z) {  // -inf of nothing; NaN where there is one
    const auto larger = [](double a, double b) { return std::isnan(a) || b <= a ? a : b; };
    return std::accumulate(z.begin(), z.end(), -infinity, larger);
}
inline row without(row z, const std::function<bool(double)>& f) {
    std::erase_if(z, f);
    return z;
}
inline bool is_nan(double v) { return std::isnan(v); }
inline bool is_excluded(double v) { return v == -infinity; }
inline double logistic(double z) { return 1.0 / (1.0 + std::exp(-z)); }
inline double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))); }
inline bool has(ids list, id e) { return std::find(list.begin(), list.end(), e) != list.end(); }

// The n best, best first: by key, NaN behind every number, equal keys by index; -inf is never chosen.
inline ids best_of(row key, id n = std::numeric_limits<id>::max()) {
    ids order;
    for (id e = 0; e < key.size(); ++e) order.insert(order.end(), is_excluded(key[e]) ? 0 : 1, e);
    const auto before = [&](id a, id b) { return key[a] > key[b] || (!std::isnan(key[a]) && std::isnan(key[b])); };
    std::stable_sort(order.begin(), order.end(), before);
    order.resize(std::min(n, order.size()));
    return order;
}

// W x + b. Shazeer et al. 2017
inline row linear_gate(row x, table weight, row bias = {}) {
    row z = bias.empty() ? row(weight.size()) : bias;
    for (id e = 0; e < z.size(); ++e) z[e] += sum_of(zip(weight[e], x, std::multiplies<>()));
    return z;
}
// W2 act(W1 x + b1) + b2. T2MIR (tanh), Expert Race (GELU)
inline row mlp_gate(row x, table w1, row b1, table w2, row b2, function act) {
    return linear_gate(each(linear_gate(x, w1, b1), act), w2, b2);
}
// cos(h, w) / tau of h = P x, no length below epsilon. X-MoE (Chi et al. 2022)
inline double length_of(row v) { return std::sqrt(linear_gate(v, {v})[0]); }
inline row cosine_gate(row x, table w, double tau, double epsilon, table projection = {}) {
    const row h = projection.empty() ? x : linear_gate(x, projection);
    const auto length = [=](row v) { return std::max(length_of(v), epsilon); };
    row z = linear_gate(h, w);
    for (id e = 0; e < z.size(); ++e) z[e] /= length(h) * length(w[e]) * tau;
    return z;
}
// <q1, first_i> for every i, then <q2, second_j> for every j; q1, q2 the halves of Q x. Lample et al. 2019
inline row product_keys_gate(row x, table first, table second, table query = {}) {
    const row q = query.empty() ? x : linear_gate(x, query);
    const auto middle = q.begin() + static_cast<std::ptrdiff_t>(q.size() / 2);
    row z = linear_gate(row(q.begin(), middle), first);
    for (const double v : linear_gate(row(middle, q.end()), second)) z.push_back(v);
    return z;
}
inline row label_table_gate(table of_label, id label) { return of_label[label]; }  // Poly

// Mean, largest, or log of the sum of exponentials of an expert's columns; -inf without columns. RouterRetriever
enum class pool { mean, max, log_sum_exp };
inline row pooled_gate(row columns, ids expert_of, id experts, pool how) {
    row z;
    for (id e = 0; e < experts; ++e) {
        row own;
        for (id m = 0; m < columns.size(); ++m) own.insert(own.end(), expert_of[m] == e ? 1 : 0, columns[m]);
        const double most = largest_of(own);
        z.push_back(how == pool::mean && !own.empty() ? mean_of(own) : most);
        if (how != pool::log_sum_exp || !std::isfinite(most)) continue;
        z[e] += std::log(sum_of(each(own, [=](double v) { return std::exp(v - most); })));
    }
    return z;
}

// exp(z) / sum of exp(z); zeros where all are -inf. Shazeer 2017, Switch, Mixtral
inline row softmax(row z) {
    const double most = largest_of(z);
    const row p = each(z, [=](double v) { return is_excluded(most) ? 0.0 : std::exp(v - most); });
    return each(p, [&](double v) { return is_excluded(most) ? 0.0 : v / sum_of(p); });
}
inline row sigmoid(row z) { return each(z, logistic); }  // DeepSeek-V3, Llama 4
inline row sqrt_softplus(row z) { return each(z, [](double v) { return std::sqrt(softplus(v)); }); }  // DeepSeek-V4
inline row relu_score(row z) { return each(z, [](double v) { return v < 0.0 ? 0.0 : v; }); }  // ReMoE
inline row identity_score(row z) { return z; }  // GPT-OSS
inline row temperature(row z, double tau) { return each(z, [=](double v) { return v / tau; }); }
inline row learned_scale(row z, double f, double c) { return each(z, [=](double v) { return f * c * v; }); }
inline row learned_temperature(row z, double theta, double smallest) {  // X-MoE, CLIP
    return learned_scale(z, std::min(std::exp(theta), 1.0 / smallest), 1.0);
}
inline row soft_cap(row z, double c) { return each(z, [=](double v) { return c * std::tanh(v / c); }); }
inline row logit_bias(row z, row delta) { return plus(z, delta, 1.0); }                 // GPT-OSS
inline row side_scores(row z, row side, double gamma) { return plus(z, side, gamma); }  // Glider
inline row gaussian_noise(row z, row n, double sigma) { return plus(z, n, sigma); }     // V-MoE
inline row gumbel_noise(row z, row g, double s) { return plus(z, g, s); }               // Kool 2019
inline row learned_noise(row z, row n, row x, table weight, double floor) {             // Shazeer
    const row sigma = each(linear_gate(x, weight), [=](double h) { return softplus(h) + floor; });
    return plus(z, zip(n, sigma, std::multiplies<>()), 1.0);
}
inline row jitter(row z, row u, double epsilon) {  // a factor of [1 - epsilon, 1 + epsilon]. Switch
    return zip(z, u, [=](double v, double w) { return v * (1.0 - epsilon + 2.0 * epsilon * w); });
}
inline row l2_normalize(row z, double epsilon) {  // -inf is left out and stays. UniPool
    const double length = length_of(without(z, is_excluded)) + epsilon;
    return each(z, [=](double v) { return is_excluded(v) ? v : v / length; });
}
inline row rms_normalize(row z, double epsilon, row gain = {}) {  // BlockFFN, Gemma 4
    const row out = temperature(z, std::sqrt(mean_of(zip(z, z, std::multiplies<>())) + epsilon));
    return gain.empty() ? out : zip(out, gain, std::multiplies<>());
}
inline row standardize(row z, double epsilon) {  // PHATGOOSE
    return each(z, [=](double v) { return (v - mean_of(z)) / std::sqrt(variance_of(z) + epsilon); });
}
inline row expert_mask(row z, row allowed) {  // ERNIE 4.5 VL, VLMo
    return zip(z, allowed, [](double v, double a) { return a != 0.0 ? v : -infinity; });
}
// 0 for the E - keep experts with the largest u, which is the same for all tokens; never for the first ones. ReXMoE
inline row random_expert_mask(row s, row u, id keep, id protect) {
    std::fill_n(u.begin(), protect, -infinity);
    for (const id e : best_of(u, s.size() - keep)) s[e] = is_excluded(s[e]) ? -infinity : 0.0;
    return s;
}
// A constant for the experts of the token's label and -inf for the others, where the label has any. ProMoE
inline row pinned_experts(row s, row pinned, double score) {
    if (largest_of(pinned) == 0.0) return s;
    return each(pinned, [=](double p) { return p != 0.0 ? score : -infinity; });
}
// With m the largest new score, o the largest old one, NaN apart: where m > o and |m - o| / max(|m|, |o|) > threshold
// the old ones become -inf (if both), else the new ones. LLaVA-DyMoE
inline row group_guidance(row z, row is_new, double threshold, bool both) {
    const row is_old = each(is_new, [](double v) { return v == 0.0 ? 1.0 : 0.0; });
    const double m = largest_of(without(expert_mask(z, is_new), is_nan));
    const double o = largest_of(without(expert_mask(z, is_old), is_nan));
    if (is_excluded(m) || is_excluded(o)) return z;
    if (!(m > o && std::abs(m - o) / std::max(std::abs(m), std::abs(o)) > threshold)) return expert_mask(z, is_old);
    return both ? expert_mask(z, is_new) : z;
}
// The steered experts only; -inf is left out and stays. Multilingual steering
enum class push { gain, force_in, force_out };
inline row steer(row z, row steered, push how, double a) {
    const row seen = without(z, is_excluded);
    return zip(z, steered, [&](double v, double s) {
        if (s == 0.0 || is_excluded(v)) return v;
        if (how == push::gain) return v + a * std::sqrt(variance_of(seen));
        const double sign = how == push::force_in ? 1.0 : -1.0, end = seen[best_of(learned_scale(seen, sign, 1.0))[0]];
        return end + sign * a * (1.0 + std::abs(end));
    });
}
// sum over tokens j of A[t][j] s[j], causal: over j <= t; A is 0 for padding. Graph of tokens
inline row token_mix(table s, row a, id t, bool causal) {
    row mixed(s[t].size());
    for (id j = 0; j < (causal ? t + 1 : s.size()); ++j) mixed = a[j] == 0.0 ? mixed : plus(mixed, s[j], a[j]);
    return mixed;
}

inline row selection_bias(row keys, row b) { return plus(keys, b, 1.0); }  // DeepSeek-V3

// A group's score is the sum of its `best` best keys; outside of the `keep` best groups keys become fill. DeepSeek-V3
inline row group_limit(row keys, id groups, id keep, id best, double fill) {
    const id size = keys.size() / groups;
    row score(groups, -infinity);
    for (id g = 0; g < groups; ++g) {
        row own = keys;
        for (id e = 0; e < own.size(); ++e) own[e] = e / size == g ? own[e] : -infinity;
        for (const id e : best_of(own, best)) score[g] = own[e] + (is_excluded(score[g]) ? 0.0 : score[g]);
    }
    const ids kept = best_of(score, keep);
    for (id e = 0; e < keys.size(); ++e) keys[e] = has(kept, e / size) || is_excluded(keys[e]) ? keys[e] : fill;
    return keys;
}

}  // namespace testing::oracle
MOE_END
