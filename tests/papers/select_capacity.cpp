// Acceptance tests of papers about how many tokens an expert takes.
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/capacity.hpp"
#include "moe/route/capacity_pass.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/select/expert_choice.hpp"
#include "moe/select/first_and_second.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/layer_laws.hpp"
#include "papers/select_hand.hpp"

using moe::capacity_priority;

using namespace hand;

namespace {

const moe::batch<double> plain;

std::vector<std::vector<double>> random_probabilities(moe::index_t tokens, moe::index_t experts) {
    const auto z = moe::testing::random_matrix<double>(tokens, experts, 17);
    std::vector<std::vector<double>> p;
    for (moe::index_t t = 0; t < tokens; ++t) {
        p.emplace_back();
        double sum = 0;
        for (moe::index_t e = 0; e < experts; ++e) sum += std::exp(z(t, e));
        for (moe::index_t e = 0; e < experts; ++e) p.back().push_back(std::exp(z(t, e)) / sum);
    }
    return p;
}

}  // namespace

TEST_CASE("Switch drops the tokens of an expert beyond its capacity, in order, per sequence") {
    const std::vector<std::vector<double>> p = {{0.9, 0.1}, {0.8, 0.2}, {0.7, 0.3}, {0.4, 0.6}, {0.6, 0.4}, {0.6, 0.4}};
    const ids cut = {0, 4, 6};
    moe::batch<double> in;
    in.sequence = cut;
    const auto r = route_probabilities(p, in, moe::top_k{.k = 1},
                                       moe::capacity{{.count = 2, .scope = moe::capacity_scope::sequence}});
    CHECK(r.expert == ids{0, 0, -1, 1, 0, 0});
    CHECK(r.weight_of(0, 0) == Approx(0.9));
    CHECK(r.weight[2] == 0.0);
}

TEST_CASE("Switch as first published passes dropped tokens on, multiplied by their probability") {
    moe::reference backend;
    moe::linear_gate<double> gate({.features = 3, .experts = 2, .seed = 4});
    const auto x = moe::testing::random_matrix<double>(8, 3, 5);
    moe::batch<double> in;
    in.x = x;
    const moe::ffn_bank<double, moe::relu> experts{{.features = 3, .hidden = 4, .experts = 2}};
    const moe::layer kept{moe::router{gate, moe::softmax{}, moe::top_k{.k = 1}}, experts};
    const moe::layer switch_layer{
        moe::router{gate, moe::softmax{}, moe::top_k{.k = 1}, moe::capacity_pass{{.count = 2}}},
        moe::banks{experts, moe::identity_bank<double>{{.features = 3, .experts = 1}}}};
    moe::arena memory;
    const auto s = kept.route(backend, in, memory);
    const auto all = moe::testing::infer(backend, kept, in);
    const auto y = moe::testing::infer(backend, switch_layer, in);
    ids load(2, 0);
    int passed = 0;
    for (moe::index_t t = 0; t < 8; ++t) {
        const bool fits = ++load[std::size_t(s.routes.expert[std::size_t(t)])] <= 2;
        passed += fits ? 0 : 1;
        for (moe::index_t j = 0; j < 3; ++j) {
            CHECK(y(t, j) == Approx(fits ? all(t, j) : s.routes.weight[std::size_t(t)] * x(t, j)));
        }
    }
    CHECK(passed >= 4);
}

TEST_CASE("NLLB counts all first choices in front of second ones and normalises after dropping") {
    // First choices: 0, 0, 1, 0. Second: 1, 1, 0, 2. Capacity 2.
    const std::vector<std::vector<double>> p = {
        {0.6, 0.3, 0.1}, {0.5, 0.4, 0.1}, {0.3, 0.6, 0.1}, {0.5, 0.2, 0.3}};
    const moe::capacity limit{{.count = 2, .priority = capacity_priority::choice_rank}};
    const auto r = route_probabilities(p, plain, moe::first_and_second{}, limit, moe::renormalize{});
    // Expert 0 is full with tokens 0 and 1; expert 1 has token 2 first, then token 0's second.
    CHECK(r.expert == ids{0, 1, 0, -1, 1, -1, -1, 2});
    CHECK(r.weight_of(0, 0) == Approx(2.0 / 3));
    CHECK(r.weight_of(1, 0) == 1.0);
    CHECK(r.weight_of(2, 1) == 1.0);
    CHECK(r.weight_of(3, 2) == 1.0);
    const auto before = route_probabilities(p, plain, moe::first_and_second{}, moe::renormalize{}, limit);
    CHECK(before.weight_of(1, 0) == Approx(0.5 / 0.9));
    // Batch-prioritised: tokens by their largest probability, 0 and 2 (.6), then 1 and 3 (.5).
    const auto prioritised = route_probabilities(
        p, plain, moe::first_and_second{}, moe::capacity{{.count = 1, .priority = capacity_priority::token_score}});
    CHECK(prioritised.expert == ids{0, -1, -1, -1, 1, -1, -1, 2});
}

TEST_CASE("Capacity-aware inference [79] keeps the C largest probabilities of every expert") {
    const auto p = random_probabilities(5, 4);
    const auto all = route_probabilities(p, plain, moe::top_k{.k = 2});
    const auto r =
        route_probabilities(p, plain, moe::top_k{.k = 2}, moe::capacity{{.priority = capacity_priority::score}});
    for (moe::index_t e = 0; e < 4; ++e) {
        // C = ceil(1.0 * 2 * 5 / 4) = 3.
        CHECK(r.load(e) == std::min(all.load(e), 3));
        double smallest_kept = 2;
        double largest_dropped = -1;
        for (std::size_t i = 0; i < all.expert.size(); ++i) {
            if (all.expert[i] != e) continue;
            if (r.expert[i] == e) smallest_kept = std::min(smallest_kept, all.weight[i]);
            else largest_dropped = std::max(largest_dropped, all.weight[i]);
        }
        CHECK(smallest_kept > largest_dropped);
    }
    for (std::size_t i = 0; i < all.expert.size(); ++i) CHECK((r.expert[i] == all.expert[i] || r.expert[i] == -1));
    // gamma >= E / k: nothing is dropped.
    const moe::capacity wide{{.factor = 2.0, .priority = capacity_priority::score}};
    CHECK(route_probabilities(p, plain, moe::top_k{.k = 2}, wide).expert == all.expert);
    // Expanded drop with every expert as a candidate: each takes its C best tokens.
    const auto expanded =
        route_probabilities(p, plain, moe::expert_choice{.capacity_factor = 2, .round = moe::rounding::up});
    for (moe::index_t e = 0; e < 4; ++e) CHECK(expanded.load(e) == 3);
}

TEST_CASE("Capacity-aware inference [79] can keep the first, the last or random tokens") {
    const std::vector<std::vector<double>> p = {{0.9, 0.1}, {0.6, 0.4}, {0.7, 0.3}};
    const auto kept = [&](capacity_priority priority) {
        return route_probabilities(p, plain, moe::top_k{.k = 1}, moe::capacity{{.count = 2, .priority = priority}})
            .expert;
    };
    CHECK(kept(capacity_priority::order) == ids{0, 0, -1});
    CHECK(kept(capacity_priority::last) == ids{-1, 0, 0});
    CHECK(kept(capacity_priority::score) == ids{0, -1, 0});
    const ids drawn = kept(capacity_priority::random);
    CHECK(std::count(drawn.begin(), drawn.end(), 0) == 2);
}

TEST_CASE("LIMoE [82] serves tokens by their largest probability, not by their order") {
    const std::vector<std::vector<double>> p = {{0.6, 0.4}, {0.9, 0.1}};
    const auto kept = [&](capacity_priority priority) {
        return route_probabilities(p, plain, moe::top_k{.k = 1}, moe::capacity{{.count = 1, .priority = priority}})
            .expert;
    };
    CHECK(kept(capacity_priority::token_score) == ids{-1, 0});
    CHECK(kept(capacity_priority::order) == ids{0, -1});
    // C = ceil(cf k T / E), up to a multiple of 4.
    CHECK(moe::expert_capacity({.factor = 1.05, .multiple = 4}, 64, 64, 8) == 12);
}

TEST_CASE("Tutel [141] counts locations by choice, and its capacity is k times that of one choice") {
    const auto capacity = [](double f) {
        return moe::expert_capacity({.factor = f, .round = moe::rounding::down, .per_choice = true}, 4, 8, 4);
    };
    CHECK(capacity(1) == 2);
    CHECK(capacity(1.5) == 2);
    CHECK(capacity(2) == 4);
    // Choices (0,1)(0,1)(0,2)(1,0), with largest probabilities rising by token.
    const std::vector<std::vector<double>> p = {
        {0.4, 0.3, 0.2, 0.1}, {0.5, 0.3, 0.1, 0.1}, {0.6, 0.1, 0.2, 0.1}, {0.2, 0.65, 0.1, 0.05}};
    const auto kept = [&](capacity_priority priority) {
        return route_probabilities(p, plain, moe::top_k{.k = 2}, moe::capacity{{.count = 2, .priority = priority}})
            .expert;
    };
    // Locations (0,1)(1,2)(2,0)(0,3); by priority (2,2)(1,1)(0,0)(0,3). An entry at location 2 or above is dropped.
    CHECK(kept(capacity_priority::choice_rank) == ids{0, 1, 0, -1, -1, 2, 1, -1});
    CHECK(kept(capacity_priority::token_score) == ids{-1, -1, 0, 1, 0, 2, 1, -1});
}

TEST_CASE("GShard and V-MoE capacities round up, MegaBlocks' down, flaxformer's to the nearest") {
    using r = moe::rounding;
    CHECK(moe::expert_capacity({.factor = 1.25, .least = 4}, 10, 20, 8) == 4);  // ceil(3.125)
    CHECK(moe::expert_capacity({.factor = 1.25, .round = r::down}, 10, 20, 8) == 3);
    CHECK(moe::expert_capacity({.factor = 1.25, .round = r::nearest, .least = 1}, 10, 20, 8) == 3);
}
