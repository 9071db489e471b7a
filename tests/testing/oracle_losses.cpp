// The losses of routing against their formulas, written down on plain numbers.
// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include "testing/every.hpp"

namespace {

using moe::index_t;
using moe::testing::sample;
using moe::testing::table;
using row = std::vector<double>;

index_t live_tokens(const sample& s) {
    index_t live = 0;
    for (index_t t = 0; t < s.tokens; ++t) live += s.live(t) ? 1 : 0;
    return live;
}

// The mean of f(t) over the live tokens.
double mean_of(const sample& s, const std::function<double(index_t)>& f) {
    double sum = 0;
    for (index_t t = 0; t < s.tokens; ++t) sum += s.live(t) ? f(t) : 0.0;
    return live_tokens(s) == 0 ? 0.0 : sum / double(live_tokens(s));
}
row means(const sample& s, const std::function<double(index_t, index_t)>& f) {
    row m;
    for (index_t e = 0; e < s.experts; ++e) m.push_back(mean_of(s, [&](index_t t) { return f(t, e); }));
    return m;
}
double sum_of(const row& v, const std::function<double(double)>& f) {
    double sum = 0;
    for (const double x : v) sum += f(x);
    return sum;
}
double entropy(const row& p) {
    return sum_of(p, [](double v) { return v > 0 ? -v * std::log(v) : 0.0; });
}
row row_of(const table& m, index_t t) {
    row v;
    for (index_t e = 0; e < m.cols; ++e) v.push_back(m(t, e));
    return v;
}
double has(const sample& s, index_t t, index_t e) {
    double n = 0;
    for (index_t i = 0; i < s.slots; ++i) n += s.expert[std::size_t(t * s.slots + i)] == e ? 1.0 : 0.0;
    return n;
}
double cv2(const row& v) {
    const double n = double(v.size()), mean = sum_of(v, [](double x) { return x; }) / n;
    const double variance = sum_of(v, [=](double x) { return (x - mean) * (x - mean); }) / (n - 1);
    return variance / (mean * mean + 1e-10);
}
double dot(const row& a, const row& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

// What the loss returns for a sample whose x are the probabilities and whose scores are the logits. NaN: no formula.
template <class Loss>
void agrees(const Loss& loss, const std::function<double(const sample&)>& formula, const law_options& options = {}) {
    const auto subject = moe::testing::detail::make_subject<double>(loss);
    int compared = 0;
    for (const sample& s : moe::testing::samples_of(moe::testing::detail::shape_of(loss, options), 3)) {
        if (!moe::testing::detail::is_moderate(s)) continue;
        const double wanted = live_tokens(s) == 0 ? 0.0 : formula(s);
        if (std::isnan(wanted)) continue;
        const double got = subject(s).out.values.at(0);
        INFO(moe::testing::sample_text(s, subject.reads));
        REQUIRE(got == Approx(wanted).epsilon(1e-9).margin(1e-12));
        ++compared;
    }
    CHECK(compared > 50);
}

double balance(const sample& s, double per_token) {
    const row f = means(s, [&](index_t t, index_t e) { return has(s, t, e) / per_token; });
    return double(s.experts) * dot(f, means(s, [&](index_t t, index_t e) { return s.x(t, e); }));
}

struct squared_match {
    moe::match_routing loss{.distance = moe::routing_distance::squared};
    template <class B, class T>
    double operator()(B& b, moe::tape<T>& tape) const {
        return loss(b, tape, tape.in().side);
    }
};

}  // namespace

TEST_CASE("balance losses have the values of their formulas") {
    agrees(moe::load_balance{.coefficient = 3}, [](const sample& s) { return 3 * balance(s, double(s.slots)); });
    agrees(moe::load_balance{.divide_by = moe::load_normaliser::tokens},
           [](const sample& s) { return balance(s, 1.0); });
    agrees(moe::load_balance{.scope = moe::loss_scope::sequence}, [](const sample& s) {
        if (s.sequence.empty()) return balance(s, double(s.slots));
        double sum = 0, filled = 0;
        for (std::size_t q = 0; q + 1 < s.sequence.size(); ++q) {
            sample one = s;
            one.mask.assign(std::size_t(s.tokens), 0);
            for (index_t t = s.sequence[q]; t < s.sequence[q + 1]; ++t) one.mask[std::size_t(t)] = s.live(t) ? 1 : 0;
            if (live_tokens(one) == 0) continue;
            sum += balance(one, double(s.slots));
            filled += 1;
        }
        return sum / filled;
    });
    agrees(moe::importance_cv2{}, [](const sample& s) {
        return cv2(means(s, [&](index_t t, index_t e) { return s.x(t, e) * double(live_tokens(s)); }));
    });
    agrees(moe::soft_balance{}, [](const sample& s) {
        const row p = means(s, [&](index_t t, index_t e) { return s.x(t, e); });
        return double(s.experts) * dot(p, means(s, [&](index_t t, index_t e) { return has(s, t, e) * s.x(t, e); }));
    });
    agrees(moe::router_similarity{}, [](const sample& s) {
        const double n = double(s.experts), live = double(live_tokens(s));
        const auto sum = [&](index_t i, index_t j, const auto& f) {
            return live * mean_of(s, [&](index_t t) { return f(t, i) * f(t, j); });
        };
        const auto chosen = [&](index_t t, index_t e) { return has(s, t, e); };
        const auto p = [&](index_t t, index_t e) { return s.x(t, e); };
        double all[2] = {}, loss[2] = {};  // off and on the diagonal
        for (index_t i = 0; i < s.experts; ++i) {
            for (index_t j = 0; j < s.experts; ++j) {
                all[i == j] += sum(i, j, chosen);
                loss[i == j] += sum(i, j, chosen) * sum(i, j, p);
            }
        }
        const double off = all[0] > 0 ? (n * n - n) * loss[0] / all[0] : 0.0;
        return (off + (all[1] > 0 ? n * loss[1] / all[1] : 0.0)) / live;
    });
}

TEST_CASE("without noise, the load is that of the best logits") {
    agrees(moe::load_cv2{.k = 2}, [](const sample& s) {
        if (s.training) return std::nan("");
        row load(std::size_t(s.experts), 0.0);
        for (index_t t = 0; t < s.tokens; ++t) {
            index_t best[2];
            moe::best_of_row(row_of(s.scores, t).data(), s.experts, best, 2);
            for (const index_t e : best) load[std::size_t(e)] += s.live(t) ? 1.0 : 0.0;
        }
        return cv2(load);
    });
}

TEST_CASE("a balance loss shares nulls, averages groups and weighs by cost as its formula says, an expected cost only weighs") {
    const row cost{1, 2, 0.5, 3, 1};
    agrees(moe::load_balance{.cost = cost}, [&](const sample& s) {
        row f = means(s, [&](index_t t, index_t e) { return has(s, t, e) / double(s.slots); });
        for (std::size_t e = 0; e < f.size(); ++e) f[e] *= cost[e];
        return double(s.experts) * dot(f, means(s, [&](index_t t, index_t e) { return s.x(t, e); }));
    });
    agrees(moe::expected_cost{.coefficient = 2, .cost = cost}, [&](const sample& s) {
        return 2 * dot(cost, means(s, [&](index_t t, index_t e) { return s.x(t, e); }));
    });
    agrees(moe::load_balance{.null_experts = 2}, [](const sample& s) {
        row f = means(s, [&](index_t t, index_t e) { return has(s, t, e) / double(s.slots); });
        f[3] = f[4] = (1 - f[0] - f[1] - f[2]) / 2;
        return double(s.experts) * dot(f, means(s, [&](index_t t, index_t e) { return s.x(t, e); }));
    });
    agrees(
        moe::load_balance{.groups = 2},
        [](const sample& s) {
            row f = means(s, [&](index_t t, index_t e) { return has(s, t, e) / double(s.slots); });
            f[0] = f[1] = f[2] = (f[0] + f[1] + f[2]) / 3;
            f[3] = f[4] = f[5] = (f[3] + f[4] + f[5]) / 3;
            return double(s.experts) * dot(f, means(s, [&](index_t t, index_t e) { return s.x(t, e); }));
        },
        {.experts = 6});
}

TEST_CASE("entropies and targets have the values of their formulas") {
    const auto mean_row = [](const sample& s) { return means(s, [&](index_t t, index_t e) { return s.x(t, e); }); };
    agrees(moe::z_loss{.coefficient = 2}, [](const sample& s) {
        return mean_of(s, [&](index_t t) {
            const double lse = std::log(sum_of(row_of(s.scores, t), [](double z) { return std::exp(z); }));
            return 2 * lse * lse;
        });
    });
    agrees(moe::token_entropy{}, [](const sample& s) {
        return mean_of(s, [&](index_t t) { return entropy(row_of(s.x, t)); });
    });
    agrees(moe::mean_entropy{}, [&](const sample& s) { return -entropy(mean_row(s)); });
    agrees(
        moe::mean_entropy{.at_least = 0.8},
        [&](const sample& s) { return std::max(0.0, 0.8 - entropy(mean_row(s))); }, {.experts = 2});
    for (const bool normalised : {false, true}) {
        agrees(moe::tsallis_entropy{.q = 1.5, .normalised = normalised}, [&](const sample& s) {
            const double largest = (1 - std::pow(double(s.experts), -0.5)) / 0.5;
            return mean_of(s, [&](index_t t) {
                return (1 - sum_of(row_of(s.x, t), [](double p) { return std::pow(p, 1.5); })) / 0.5 /
                       (normalised ? largest : 1.0);
            });
        });
    }
    agrees(
        squared_match{},
        [](const sample& s) {
            return mean_of(s, [&](index_t t) {
                double sum = 0;
                for (index_t e = 0; e < s.experts; ++e) sum += std::pow(s.x(t, e) - s.side(t, e), 2);
                return sum;
            });
        },
        {.side = side_kind::by_expert});
}
