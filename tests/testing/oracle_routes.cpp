// The reference backend against the oracle: route steps.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_support.hpp"

namespace {

// Three slots per token, some of them dead, with the weights of a kind.
struct given {
    std::vector<moe::index_t> offset{0}, expert;
    std::vector<double> weight;

    given(const problem& p, moe::index_t k) {
        const moe::random_stream random(7, moe::stream_id("tests.oracle.routes"));
        for (moe::index_t t = 0; t < problem::tokens; ++t) {
            const auto first = moe::index_t(random.words(std::uint64_t(t), 0)[0] % 3u);
            for (moe::index_t j = 0; j < k; ++j) {
                const bool dead =
                    !p.live(oracle::id(t)) || random.words(std::uint64_t(t), 1 + std::uint32_t(j))[0] % 5u == 0;
                const moe::index_t e = (first + 2 * j) % problem::experts;
                expert.push_back(dead ? -1 : e);
                weight.push_back(dead ? 0.0 : std::isinf(p.z(t, e)) ? 1.0 : p.z(t, e));
            }
            offset.push_back(moe::index_t(expert.size()));
        }
    }

    // All live routes, token by token.
    oracle::routed routes() const {
        oracle::routed out;
        for (oracle::id t = 0; t + 1 < offset.size(); ++t) {
            for (auto s = std::size_t(offset[t]); s < std::size_t(offset[t + 1]); ++s) {
                if (expert[s] >= 0) out.push_back({oracle::id(expert[s]), weight[s], s - std::size_t(offset[t]), t});
            }
        }
        return out;
    }
};

template <class Step>
oracle::routed run(const Step& step, const problem& p, given r) {
    moe::reference b;
    seen at(p);
    check_options(step, p);
    using X = moe::detail::written_t<Step, moe::reference, double>;
    at.s.routes.offset = r.offset;
    if constexpr (std::is_same_v<X, moe::choice>) {
        at.s.routes.weight = r.weight;
        step.forward(b, at.s, moe::choice{r.offset, r.expert});
    } else if constexpr (std::is_same_v<X, std::span<double>>) {
        at.s.routes.expert = r.expert;
        (void)moe::detail::value_of([&] { return step.forward(b, at.s, std::span<double>(r.weight)); });
    } else {
        (void)moe::detail::value_of([&] {
            return step.forward(b, at.s, moe::routes_view<double>{r.offset, r.expert, r.weight});
        });
    }
    for (std::size_t s = 0; s < r.expert.size(); ++s) {
        if (std::is_same_v<X, std::span<double>> && r.expert[s] < 0) CHECK(r.weight[s] == 0.0);
    }
    return r.routes();
}

void same(const oracle::routed& got, const oracle::routed& wanted) {
    REQUIRE(got.size() == wanted.size());
    for (oracle::id i = 0; i < got.size(); ++i) {
        INFO("token " << wanted[i].token << ", slot " << wanted[i].slot << ", weight " << got[i].weight << " for "
                      << wanted[i].weight);
        CHECK(got[i].token == wanted[i].token);
        CHECK(got[i].slot == wanted[i].slot);
        CHECK(got[i].expert == wanted[i].expert);
        CHECK(close(got[i].weight, wanted[i].weight));
    }
}

// `spec(p, routes of a token)`, for every kind of weights and 1 to 3 slots.
template <class Step, class Spec>
void agrees(const Step& step, const Spec& spec) {
    for (const kind how : every_kind) {
        for (const moe::index_t k : {1, 2, 3}) {
            const problem p(how, true);
            const given r(p, k);
            oracle::routed wanted;
            for (oracle::id t = 0; t < problem::tokens; ++t) {
                oracle::routed own = r.routes();
                std::erase_if(own, [=](const oracle::route& s) { return s.token != t; });
                for (const oracle::route& s : spec(own)) wanted.push_back(s);
            }
            INFO("kind " << int(how) << ", " << k << " slots");
            same(run(step, p, r), wanted);
        }
    }
}
template <class Step, class Spec>
void weights_agree(const Step& step, const Spec& spec) {
    agrees(step, [&](const oracle::routed& r) { return oracle::weigh(r, spec(oracle::weights(r))); });
}

}  // namespace

TEST_CASE("steps on weights compute what the oracle computes") {
    weights_agree(moe::renormalize{}, [](const oracle::row& w) { return oracle::renormalize(w, 0.0, 0.0); });
    weights_agree(moe::renormalize{.epsilon = 0.3},
                  [](const oracle::row& w) { return oracle::renormalize(w, 0.3, 0.0); });
    weights_agree(moe::renormalize{.least = 0.5},
                  [](const oracle::row& w) { return oracle::renormalize(w, 0.0, 0.5); });
    for (const double p : {1.0, 2.0, 3.5}) {
        weights_agree(moe::p_norm{p, 0.1}, [=](const oracle::row& w) { return oracle::p_norm(w, p, 0.1); });
        weights_agree(moe::p_norm{p}, [=](const oracle::row& w) { return oracle::p_norm(w, p, 0.0); });
    }
    weights_agree(moe::softmax_selected{0.5}, [](const oracle::row& w) { return oracle::softmax_selected(w, 0.5); });
    weights_agree(moe::sigmoid_selected{}, oracle::sigmoid_selected);
    weights_agree(moe::scale{2.5}, [](const oracle::row& w) { return oracle::scale(w, 2.5); });
    weights_agree(moe::learned_weight_scale<double>{-0.3},
                  [](const oracle::row& w) { return oracle::learned_weight_scale(w, -0.3); });
    weights_agree(moe::constant_weights{0.7}, [](const oracle::row& w) { return oracle::constant_weights(w, 0.7); });
    moe::per_expert_scale<double> each{6};
    agrees(each, [](const oracle::routed& r) { return r; });
    for (moe::index_t e = 0; e < 6; ++e) each.scale(0, e) = 1.0 - 0.4 * e;
    agrees(each, [&](const oracle::routed& r) { return oracle::per_expert_scale(r, first_row(each.scale)); });
}

TEST_CASE("renormalize leaves single slots alone where it shall") {
    const problem p(kind::normal);
    same(run(moe::renormalize{.skip_single = true}, p, given(p, 1)), given(p, 1).routes());
}

TEST_CASE("steps that drop keep what the oracle keeps") {
    for (const moe::index_t first : {0, 2, 6}) {
        agrees(moe::null_experts{first},
               [=](const oracle::routed& r) { return oracle::null_experts(r, oracle::id(first)); });
    }
    for (const double ratio : {0.0, 0.5, 1.0}) {
        for (const double least : {0.0, 0.25}) {
            agrees(moe::drop_below{ratio, least},
                   [=](const oracle::routed& r) { return oracle::drop_below(r, ratio, least); });
        }
    }
}

TEST_CASE("capacities keep, pass and move what the oracle does") {
    using from = moe::capacity_priority;
    const std::pair<from, oracle::priority> priorities[] = {{from::order, oracle::priority::order},
                                                            {from::last, oracle::priority::last},
                                                            {from::choice_rank, oracle::priority::choice_rank},
                                                            {from::token_score, oracle::priority::token_score},
                                                            {from::score, oracle::priority::score},
                                                            {from::random, oracle::priority::random}};
    struct scoped {
        moe::capacity_scope scope;
        oracle::ids cut;
    };
    const scoped scopes[] = {{moe::capacity_scope::batch, {0, 9}},
                             {moe::capacity_scope::sequence, {0, 4, 4, 9}},
                             {moe::capacity_scope::rows, {0, 5, 9}}};
    const auto up = [](double v) { return std::ceil(v); };
    for (const kind how : {kind::normal, kind::ties, kind::odd, kind::equal}) {
        const problem p(how, true);
        const given r(p, 3);
        const oracle::table u = p.draws("capacity", uniform);
        const oracle::table z = values(p.z.view());
        for (const auto& [by, spec] : priorities) {
            for (const scoped& s : scopes) {
                for (const double factor : {0.0, 0.4, 0.5, 0.7, 1.5}) {
                    moe::capacity_options o{
                        .factor = factor, .least = factor == 0.4 ? 1 : 0, .scope = s.scope, .rows = 5};
                    o.priority = by;
                    o.multiple = factor == 1.5 ? 2 : 1;
                    o.per_choice = factor == 0.7;
                    oracle::routed kept, passed, moved;
                    const auto add = [](oracle::routed& to, const oracle::routed& more) {
                        to.insert(to.end(), more.begin(), more.end());
                    };
                    for (oracle::id g = 0; g + 1 < s.cut.size(); ++g) {
                        double n = 0.0;
                        for (oracle::id t = s.cut[g]; t < s.cut[g + 1]; ++t) n += p.live(t) ? 1.0 : 0.0;
                        const oracle::id c = oracle::capacity_of(n, 3.0 * n, 6.0, factor, up, double(o.least),
                                                                 double(o.multiple), o.per_choice);
                        oracle::routed own = r.routes();
                        std::erase_if(own, [&](auto& x) { return x.token < s.cut[g] || x.token >= s.cut[g + 1]; });
                        add(kept, oracle::capacity(own, c, spec, u));
                        add(passed, oracle::capacity_pass(own, c, 6, spec, u));
                        add(moved, oracle::capacity_reroute(own, c, z, z, spec, u));
                    }
                    INFO("kind " << int(how) << ", priority " << int(by) << ", scope " << int(s.scope) << ", factor "
                                 << factor);
                    same(run(moe::capacity{o}, p, r), kept);
                    same(run(moe::capacity_pass{o}, p, r), passed);
                    same(run(moe::capacity_reroute{o}, p, r), moved);
                }
            }
        }
    }
}

TEST_CASE("a capacity can be a count") {
    const problem p(kind::normal);
    const given r(p, 3);
    for (const moe::index_t count : {0, 1, 4, 99}) {
        const oracle::id c = std::min(oracle::id(count), oracle::id(9));
        same(run(moe::capacity{{.count = count}}, p, r), oracle::capacity(r.routes(), c, oracle::priority::order));
    }
}
