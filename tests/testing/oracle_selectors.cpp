// The reference backend against the oracle: selectors, and the weights of the two that weigh themselves.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_support.hpp"

namespace {

using chosen = std::vector<oracle::ids>;

// The experts of every token's slots; slots of padding are emptied as the router does.
template <class Selector>
chosen choose(const Selector& selector, const problem& p, moe::index_t experts) {
    moe::reference b;
    seen at(p);
    at.s.experts = experts;
    check_options(selector, p, experts);
    std::vector<moe::index_t> offset(problem::tokens + 1, 12345), expert;
    if constexpr (moe::detail::ragged_selector<Selector, moe::reference, double>) {
        expert.assign(std::size_t(selector.max_routes(p.in, experts)), 12345);
        selector.forward(b, at.s, moe::ragged_choice{offset, expert});
    } else {
        const auto width = static_cast<moe::index_t>(selector.width(p.in, experts));
        for (moe::index_t t = 0; t <= problem::tokens; ++t) offset[std::size_t(t)] = t * width;
        expert.assign(std::size_t(offset.back()), 12345);
        selector.forward(b, at.s, moe::choice{offset, expert});
    }
    chosen out(problem::tokens);
    for (oracle::id t = 0; t < out.size(); ++t) {
        for (auto s = std::size_t(offset[t]); s < std::size_t(offset[t + 1]); ++s) {
            out[t].push_back(expert[s] < 0 || !p.live(t) ? oracle::nobody : oracle::id(expert[s]));
        }
    }
    return out;
}

// All slots are those of `spec(p, keys)`, for every kind of keys; padding has none, or empty ones.
template <class Selector, class Spec>
void agrees(const Selector& selector, const Spec& spec, moe::index_t experts = problem::experts, moe::index_t k = 0) {
    for (const kind how : every_kind) {
        for (const bool masked : {false, true}) {
            for (const std::uint64_t seed : {1u, 2u, 3u}) {
                problem p(how, masked, seed);
                p.in.k = k;
                const chosen got = choose(selector, p, experts);
                const chosen wanted = spec(p, values(p.z.view()));
                for (oracle::id t = 0; t < got.size(); ++t) {
                    INFO("kind " << int(how) << ", seed " << seed << ", token " << t);
                    if (p.live(t))
                        CHECK(got[t] == wanted[t]);
                    else
                        CHECK(got[t] == oracle::ids(got[t].size(), oracle::nobody));
                }
            }
        }
    }
}
template <class Selector, class Spec>
void agrees_by_token(const Selector& selector, const Spec& spec, moe::index_t k = 0) {
    agrees(
        selector,
        [&](const problem&, const oracle::table& keys) {
            chosen out;
            for (const oracle::row& q : keys) out.push_back(spec(q));
            return out;
        },
        problem::experts, k);
}

// One row of the keys of all tokens; padding has -inf.
oracle::row all_of(const problem& p, const oracle::table& keys) {
    oracle::row all;
    for (oracle::id t = 0; t < keys.size(); ++t) {
        for (const double q : keys[t]) all.push_back(p.live(t) ? q : -oracle::infinity);
    }
    return all;
}
double live_tokens(const problem& p, oracle::id first, oracle::id last) {
    double n = 0.0;
    for (oracle::id t = first; t < last; ++t) n += p.live(t) ? 1.0 : 0.0;
    return n;
}

}  // namespace

TEST_CASE("selectors by rank choose what the oracle chooses") {
    for (const moe::index_t k : {1, 2, 6}) {
        agrees_by_token(moe::top_k{k}, [=](const oracle::row& q) { return oracle::top_k(q, oracle::id(k)); });
    }
    agrees_by_token(
        moe::top_k{1}, [](const oracle::row& q) { return oracle::top_k(q, 4); }, 4);
    agrees_by_token(moe::rank_set{{0, 3, 1}}, [](const oracle::row& q) { return oracle::rank_set(q, {0, 3, 1}); });
    agrees_by_token(moe::dense{}, oracle::dense);
    for (const bool hidden : {false, true}) {
        agrees_by_token(moe::always_on{moe::top_k{2}, {{4, 1}, hidden}}, [=](const oracle::row& q) {
            return oracle::always_on(q, {4, 1}, hidden, [](oracle::row z) { return oracle::top_k(z, 2); });
        });
        agrees_by_token(moe::always_on{moe::threshold{.value = 0.2}, {{3}, hidden}}, [=](const oracle::row& q) {
            return oracle::always_on(q, {3}, hidden,
                                     [](oracle::row z) { return oracle::threshold(z, 0.2, false, 0, 6); });
        });
    }
}

TEST_CASE("tables and given choices are those of the oracle") {
    moe::matrix<moe::index_t> of(4, 2);
    const moe::index_t entries[] = {0, 3, 2, -1, 5, 4, -1, 1};
    std::copy_n(entries, 8, of.data());
    const auto row_of = [&](moe::index_t i) {
        oracle::ids out;
        for (moe::index_t k = 0; k < 2; ++k) out.push_back(of(i, k) < 0 ? oracle::nobody : oracle::id(of(i, k)));
        return out;
    };
    const auto by = [&](auto member, auto rule) {
        return [=](const problem& p, const oracle::table& keys) {
            chosen out;
            for (oracle::id t = 0; t < keys.size(); ++t) {
                out.push_back(p.live(t) ? rule(keys[t], row_of((p.*member)[t])) : oracle::ids{});
            }
            return out;
        };
    };
    agrees(moe::token_table{of}, by(&problem::token, oracle::token_table));
    agrees(moe::label_table{of}, by(&problem::label, oracle::label_table));

    problem p(kind::normal, true);
    p.in.replay_offset = p.replay_offset;
    p.in.replay_expert = p.replay_expert;
    const chosen got = choose(moe::external{}, p, problem::experts);
    for (oracle::id t = 0; t < got.size(); ++t) {
        const moe::index_t second = p.replay_expert[2 * t + 1];
        const oracle::ids given{oracle::id(p.replay_expert[2 * t]), second < 0 ? oracle::nobody : oracle::id(second)};
        CHECK(got[t] == (p.live(t) ? oracle::external(given) : oracle::ids(2, oracle::nobody)));
    }
}

TEST_CASE("selectors by sum and threshold choose what the oracle chooses") {
    for (const bool crossing : {false, true}) {
        for (const bool exceed : {false, true}) {
            for (const double p : {0.0, 0.25, 0.5, 2.0}) {
                for (const moe::index_t most : {0, 3}) {
                    INFO("top_p " << p << ", crossing " << crossing << ", exceed " << exceed << ", most " << most);
                    const moe::top_p step{p, crossing, exceed, most == 0 ? 0 : 2, most};
                    agrees_by_token(step, [=](const oracle::row& q) {
                        return oracle::top_p(q, p, crossing, exceed, most == 0 ? 0 : 2, most == 0 ? 6 : 3);
                    });
                }
            }
        }
    }
    for (const bool inclusive : {false, true}) {
        for (const double value : {0.0, 0.25, -oracle::infinity, oracle::infinity}) {
            agrees_by_token(moe::threshold{value, inclusive, 1, 4},
                            [=](const oracle::row& q) { return oracle::threshold(q, value, inclusive, 1, 4); });
        }
        for (const bool quantile : {false, true}) {
            const auto statistic = quantile ? moe::threshold_statistic::quantile : moe::threshold_statistic::mean_std;
            for (const double q : {0.0, 0.3, 0.8, 1.0}) {
                INFO("statistic " << q << ", quantile " << quantile << ", inclusive " << inclusive);
                agrees_by_token(moe::token_threshold{statistic, q, inclusive, 1, 5}, [=](const oracle::row& keys) {
                    return oracle::token_threshold(keys, quantile, q, inclusive, 1, 5);
                });
                agrees(moe::batch_threshold{statistic, q, inclusive, 0, 5}, [=](const problem& p,
                                                                                const oracle::table& keys) {
                    chosen out;
                    for (const oracle::row& own : keys) {
                        out.push_back(oracle::batch_threshold(own, all_of(p, keys), quantile, q, inclusive, 0, 5));
                    }
                    return out;
                });
            }
        }
    }
}

TEST_CASE("selectors over the batch choose what the oracle chooses") {
    for (const bool ties : {false, true}) {
        for (const double each : {0.0, 0.5, 1.5, 9.0}) {
            agrees(moe::global_top{each, ties}, [=](const problem& p, const oracle::table& keys) {
                chosen out(keys.size());
                const auto n = static_cast<oracle::id>(std::nearbyint(each * live_tokens(p, 0, 9)));
                oracle::ids pairs = oracle::global_top(all_of(p, keys), n, ties);
                std::sort(pairs.begin(), pairs.end());
                for (const oracle::id i : pairs) out[i / 6].push_back(i % 6);
                return out;
            });
        }
    }
    const auto takes = [](const problem& p, const oracle::table& keys, const auto& capacity, const oracle::ids& cut) {
        chosen out(keys.size());
        for (oracle::id g = 0; g + 1 < cut.size(); ++g) {
            const double n = live_tokens(p, cut[g], cut[g + 1]);
            for (oracle::id e = 0; e < 6; ++e) {
                oracle::row column;
                for (oracle::id t = cut[g]; t < cut[g + 1]; ++t) column.push_back(all_of(p, keys)[t * 6 + e]);
                for (const oracle::id t : oracle::expert_choice(column, capacity(n))) {
                    out[cut[g] + t].push_back(e);
                }
            }
        }
        return out;
    };
    for (const double factor : {0.0, 1.0, 2.5, 9.0}) {
        for (const bool nearest : {false, true}) {
            for (const bool per_sequence : {false, true}) {
                moe::expert_choice step{.capacity_factor = factor, .min_capacity = 1};
                const auto capacity = [=](double n) {
                    const auto round = [=](double v) { return nearest ? std::nearbyint(v) : std::floor(v); };
                    return oracle::capacity_of(n, n, 6.0, factor, round, 1.0);
                };
                step.round = nearest ? moe::rounding::nearest : moe::rounding::down;
                step.per_sequence = per_sequence;
                const oracle::ids cut = per_sequence ? oracle::ids{0, 4, 4, 9} : oracle::ids{0, 9};
                agrees(step,
                       [=](const problem& p, const oracle::table& keys) { return takes(p, keys, capacity, cut); });
            }
        }
    }
    agrees(moe::expert_choice{.capacity = 3}, [=](const problem& p, const oracle::table& keys) {
        return takes(p, keys, [](double n) { return std::min(oracle::id(n), oracle::id(3)); }, {0, 9});
    });
}

TEST_CASE("second experts are those of the oracle on the same draws") {
    const auto agrees_for = [](moe::second_expert how, oracle::second spec) {
        agrees(moe::first_and_second{how}, [=](const problem& p, const oracle::table& keys) {
            chosen out;
            const oracle::table g = p.draws("first_and_second", gumbel), u = p.draws("first_and_second", uniform, 7);
            for (oracle::id t = 0; t < keys.size(); ++t) {
                out.push_back(oracle::first_and_second(keys[t], spec, keys[t], g[t], keys[t], u[t][6]));
            }
            return out;
        });
    };
    agrees_for(moe::second_expert::all, oracle::second::all);
    agrees_for(moe::second_expert::sampling, oracle::second::sampling);
    agrees_for(moe::second_expert::random, oracle::second::random);
}

TEST_CASE("sparsemixer and product keys choose and weigh as the oracle does") {
    const auto compare = [](const auto& step, moe::index_t experts, const auto& spec) {
        for (const kind how : every_kind) {
            for (const bool training : {false, true}) {
                problem p(how, true);
                p.in.training = training;
                moe::reference b;
                seen at(p);
                at.s.experts = experts;
                const chosen got = choose(step, p, experts);
                std::vector<moe::index_t> offset{0}, expert;
                for (const oracle::ids& slots : got) {
                    for (const oracle::id e : slots) expert.push_back(e == oracle::nobody ? -1 : moe::index_t(e));
                    offset.push_back(moe::index_t(expert.size()));
                }
                std::vector<double> weight(expert.size(), 99.0);
                at.s.routes.offset = offset;
                at.s.routes.expert = expert;
                step.weigh(b, at.s, std::span<double>(weight));
                for (oracle::id t = 0; t < got.size(); ++t) {
                    if (!p.live(t)) continue;
                    INFO("kind " << int(how) << ", token " << t << ", training " << training);
                    const oracle::routed wanted = spec(p, values(p.z.view())[t], t);
                    for (oracle::id j = 0; j < got[t].size(); ++j) {
                        const auto w = std::find_if(wanted.begin(), wanted.end(), [=](auto& r) { return r.slot == j; });
                        CHECK(got[t][j] == (w == wanted.end() ? oracle::nobody : w->expert));
                        if (w != wanted.end()) CHECK(close(weight[std::size_t(offset[t]) + j], w->weight));
                    }
                }
            }
        }
    };
    compare(moe::product_keys{5}, 9,
            [](const problem&, const oracle::row& z, oracle::id) { return oracle::product_keys(z, z, 5); });
    for (const double epsilon : {0.01, 0.5}) {
        compare(moe::sparsemixer{3, epsilon}, 6, [=](const problem& p, const oracle::row& z, oracle::id t) {
            if (!p.in.training) return oracle::sparsemixer(z, 3, epsilon, {}, {});
            const oracle::row g = p.draws("sparsemixer.choice", gumbel, 18)[t];
            oracle::table by_round;
            for (auto i = g.begin(); i != g.end(); i += 6) by_round.emplace_back(i, i + 6);
            return oracle::sparsemixer(z, 3, epsilon, by_round, p.draws("sparsemixer.factor", uniform)[t]);
        });
    }
}
