#include "moe/route/capacity.hpp"

#include "moe/core/capacity.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/route/capacity_pass.hpp"
#include "moe/route/capacity_reroute.hpp"
#include "moe/route/null_experts.hpp"
#include "moe/route/per_expert_scale.hpp"
#include "moe/route/renormalize.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

using moe::capacity_priority;
using moe::capacity_scope;

namespace {

using ids = std::vector<moe::index_t>;
using weights = std::vector<double>;

// Four tokens, two slots each, four experts; expert 0 is wanted by all, expert 1 by three.
hand_routes crowded() {
    return {{0, 2, 4, 6, 8}, {0, 1, 0, 1, 1, 0, 0, 2}, {0.6, 0.4, 0.9, 0.1, 0.5, 0.45, 0.7, 0.3}};
}

ids kept(moe::capacity_options o, hand_routes r = crowded(), moe::batch<double> in = {}) {
    return apply(moe::capacity{o}, r, in, {}, 4).expert;
}

moe::index_t loads_at_most(const ids& expert, moe::index_t e) {
    return static_cast<moe::index_t>(std::count(expert.begin(), expert.end(), e));
}

}  // namespace

TEST_CASE("the capacity of an expert is rounded, bounded, aligned and clamped") {
    using moe::expert_capacity;
    using r = moe::rounding;
    CHECK(expert_capacity({.factor = 1.0}, 10, 20, 8) == 3);                   // ceil(20 / 8)
    CHECK(expert_capacity({.factor = 1.0, .round = r::down}, 10, 20, 8) == 2);
    CHECK(expert_capacity({.factor = 1.0, .round = r::nearest}, 10, 20, 8) == 2);  // 2.5 to even
    CHECK(expert_capacity({.factor = 1.25}, 100, 100, 8) == 16);               // 15.625
    CHECK(expert_capacity({.factor = 0.0}, 10, 20, 8) == 0);
    CHECK(expert_capacity({.factor = 0.0, .least = 4}, 10, 20, 8) == 4);
    CHECK(expert_capacity({.factor = 1.0, .multiple = 4}, 10, 20, 8) == 4);
    CHECK(expert_capacity({.factor = 1.0, .multiple = 16}, 10, 20, 8) == 10);  // clamped to the tokens
    CHECK(expert_capacity({.factor = 1e300}, 10, 20, 8) == 10);
    CHECK(expert_capacity({.count = 0}, 10, 20, 8) == 0);
    CHECK(expert_capacity({.count = 7}, 10, 20, 8) == 7);
    CHECK(expert_capacity({.count = 70}, 10, 20, 8) == 10);
    CHECK(expert_capacity({.factor = 9.0}, 0, 0, 8) == 0);
}

TEST_CASE("an infinite factor is no limit, whether there are routes or not") {
    using moe::expert_capacity;
    constexpr double infinite = std::numeric_limits<double>::infinity();
    for (const bool per_choice : {false, true}) {
        CHECK(expert_capacity({.factor = infinite, .per_choice = per_choice}, 10, 20, 8) == 10);
        CHECK(expert_capacity({.factor = infinite, .per_choice = per_choice}, 10, 0, 8) == 0);
        CHECK(expert_capacity({.factor = infinite, .least = 2, .per_choice = per_choice}, 10, 0, 8) == 2);
    }
}

TEST_CASE("route steps behind an appended expert are checked against one expert more") {
    const auto compose = [](const auto&... steps) {
        return moe::router{moe::linear_gate<float>{{.features = 3, .experts = 4}}, moe::top_k{.k = 2},
                           moe::capacity_pass{{.count = 1}}, steps...};
    };
    CHECK_NOTHROW(compose(moe::per_expert_scale<float>{5}));
    CHECK_THROWS_WITH(compose(moe::per_expert_scale<float>{4}),
                      "moe: per_expert_scale.scale: wanted [1, 5], got [1, 4]");
    CHECK_THROWS_WITH(compose(moe::capacity_reroute{{.count = 1}}),
                      "moe: capacity_reroute: experts: wanted 4 (columns of the scores), got 5");
    CHECK_NOTHROW(compose(moe::null_experts{.first = 5}));
    CHECK_THROWS_AS(compose(moe::null_experts{.first = 6}), moe::value_error);
}

TEMPLATE_LIST_TEST_CASE("capacity steps keep the laws of layers and their gradients are exact", "", every_backend) {
    for (const auto priority : {capacity_priority::order, capacity_priority::last, capacity_priority::choice_rank,
                                capacity_priority::token_score, capacity_priority::score, capacity_priority::random}) {
        const moe::capacity_options o{.factor = 0.8, .round = moe::rounding::down, .priority = priority};
        check_steps<TestType>([&]<class T>() { return layer_of<T>(2, moe::capacity{o}, moe::renormalize{}); });
        check_steps<TestType>([&]<class T>() { return layer_of<T>(2, moe::capacity_reroute{o}, moe::renormalize{}); });
    }
    check_steps<TestType>([]<class T>() {
        return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::softmax{},
                                      moe::top_k{.k = 2}, moe::capacity_pass{{.count = 1}}},
                          moe::banks{moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}},
                                     moe::identity_bank<T>{{.features = 5, .experts = 1}}}};
    });
}

TEST_CASE("an expert keeps the routes that come first by priority") {
    using p = capacity_priority;
    const auto with = [](p priority, moe::index_t count) {
        return kept({.count = count, .priority = priority});
    };
    CHECK(with(p::order, 2) == ids{0, 1, 0, 1, -1, -1, -1, 2});
    CHECK(with(p::last, 2) == ids{-1, -1, -1, 1, 1, 0, 0, 2});
    CHECK(with(p::choice_rank, 2) == ids{0, 1, 0, -1, 1, -1, -1, 2});
    CHECK(with(p::choice_rank, 1) == ids{0, -1, -1, -1, 1, -1, -1, 2});
    CHECK(with(p::score, 2) == ids{-1, 1, 0, -1, 1, -1, 0, 2});
    // Tokens by their largest weight: 1 (.9), 3 (.7), 0 (.6), 2 (.5).
    CHECK(with(p::token_score, 2) == ids{-1, -1, 0, 1, 1, -1, 0, 2});
}

TEST_CASE("a capacity of 0 drops all, one of T or more drops nothing") {
    CHECK(kept({.count = 0}) == ids(8, -1));
    CHECK(kept({.count = 4}) == crowded().expert);
    CHECK(kept({.count = 400}) == crowded().expert);
    CHECK(kept({.factor = 1.0}) == ids{0, 1, 0, 1, -1, -1, -1, 2});  // ceil(8 / 4) = 2
}

TEST_CASE("dropped routes weigh nothing; a renormalize behind shares their weight, one in front loses it") {
    const auto dropped = apply(moe::capacity{{.count = 2}}, crowded(), {}, {}, 4);
    CHECK(dropped.weight == weights{0.6, 0.4, 0.9, 0.1, 0, 0, 0, 0.3});
    CHECK(apply(moe::renormalize{}, dropped).weight == weights{0.6, 0.4, 0.9, 0.1, 0, 0, 0, 1});
}

TEST_CASE("each sequence, or each block of rows, has its own capacity") {
    const ids cut = {0, 1, 4};
    moe::batch<double> in;
    in.sequence = cut;
    in.x = {nullptr, 4, 0};
    const moe::capacity_options per_sequence{.count = 1, .scope = capacity_scope::sequence};
    CHECK(kept(per_sequence, crowded(), in) == ids{0, 1, 0, 1, -1, -1, -1, 2});
    const moe::capacity_options blocks{.count = 1, .scope = capacity_scope::rows, .rows = 2};
    CHECK(kept(blocks) == ids{0, 1, -1, -1, 1, 0, -1, 2});
    const moe::capacity_options uneven{.count = 1, .scope = capacity_scope::rows, .rows = 3};
    CHECK(kept(uneven) == ids{0, 1, -1, -1, -1, -1, 0, 2});
}

TEST_CASE("padding takes no place and is not counted") {
    const std::uint8_t mask[4] = {0, 1, 1, 1};
    moe::batch<double> in;
    in.mask = mask;
    in.x = {nullptr, 4, 0};
    hand_routes r = crowded();
    r.expert[0] = r.expert[1] = -1;
    // Three live tokens, six slots: ceil(2/3 * 6 / 4) = 1.
    CHECK(kept({.factor = 2.0 / 3}, r, in) == ids{-1, -1, 0, 1, -1, -1, -1, 2});
    CHECK(kept({.count = 2}, r, in) == ids{-1, -1, 0, 1, 1, 0, -1, 2});
}

TEST_CASE("random priority depends on seed and step alone, and keeps everybody alike") {
    const auto draw = [](std::uint64_t seed, std::uint64_t step) {
        moe::batch<double> in;
        in.seed = seed;
        in.step = step;
        in.x = {nullptr, 4, 0};
        return kept({.count = 2, .priority = capacity_priority::random}, crowded(), in);
    };
    CHECK(draw(1, 0) == draw(1, 0));
    int counts[4] = {};
    for (std::uint64_t step = 0; step < 2000; ++step) {
        const ids e = draw(7, step);
        CHECK(loads_at_most(e, 0) == 2);
        const std::size_t slot[4] = {0, 2, 5, 6};
        for (std::size_t i = 0; i < 4; ++i) counts[i] += e[slot[i]] == 0 ? 1 : 0;
    }
    for (const int n : counts) CHECK(n / 2000.0 == Approx(0.5).margin(0.05));
}

TEST_CASE("a route that does not fit passes to the appended expert with its weight") {
    const auto r = apply(moe::capacity_pass{{.count = 1}}, crowded(), {}, {}, 4);
    CHECK(r.expert == ids{0, 1, 4, -1, 4, -1, 4, 2});
    CHECK(r.weight == weights{0.6, 0.4, 1.0, 0, 0.95, 0, 0.7, 0.3});
    CHECK(moe::capacity_pass{}.experts(4) == 5);
}

TEST_CASE("a route that does not fit moves to the least loaded expert with room and takes its score") {
    moe::matrix<double> scores(4, 4);
    for (moe::index_t t = 0; t < 4; ++t) {
        for (moe::index_t e = 0; e < 4; ++e) scores(t, e) = 10 * t + e;
    }
    const auto r = apply(moe::capacity_reroute{{.count = 2}}, crowded(), {}, scores.view(), 4);
    // Kept loads are 2, 2, 1, 0; token 2 loses 1 and 0, token 3 loses 0.
    CHECK(r.expert == ids{0, 1, 0, 1, 3, 2, 3, 2});
    CHECK(r.weight == weights{0.6, 0.4, 0.9, 0.1, 23, 22, 33, 0.3});
    const double inf = std::numeric_limits<double>::infinity();
    scores(2, 3) = -inf;
    const auto masked = apply(moe::capacity_reroute{{.count = 2}}, crowded(), {}, scores.view(), 4);
    CHECK(masked.expert == ids{0, 1, 0, 1, 2, -1, 3, 2});
    CHECK(masked.weight[5] == 0);
}

TEST_CASE("after every rule no expert is over its capacity, on random routes") {
    const moe::random_stream random(3, moe::stream_id("capacity test"));
    hand_routes r;
    r.offset = {0};
    for (moe::index_t t = 0; t < 60; ++t) {
        for (moe::index_t e = 0; e < 5; ++e) {
            if (random.uniform(std::uint64_t(t), std::uint32_t(e)) > (e == 0 ? 0.1 : 0.7)) continue;
            r.expert.push_back(e);
            r.weight.push_back(random.uniform(std::uint64_t(t), std::uint32_t(e + 9)));
        }
        r.offset.push_back(moe::index_t(r.expert.size()));
    }
    const auto scores = moe::testing::random_matrix<double>(60, 5, 1);
    for (int p = 0; p < 6; ++p) {
        const moe::capacity_options o{.count = 20, .priority = capacity_priority(p)};
        const auto dropped = apply(moe::capacity{o}, r, {}, scores.view(), 5);
        const auto moved = apply(moe::capacity_reroute{o}, r, {}, scores.view(), 5);
        for (moe::index_t e = 0; e < 5; ++e) {
            CHECK(loads_at_most(dropped.expert, e) == std::min(loads_at_most(r.expert, e), 20));
            CHECK(loads_at_most(moved.expert, e) <= 20);
        }
        for (std::size_t i = 0; i < r.expert.size(); ++i) {
            CHECK((dropped.expert[i] == r.expert[i] || dropped.expert[i] == -1));
            if (dropped.expert[i] >= 0) CHECK(moved.expert[i] == r.expert[i]);
        }
        for (std::size_t t = 0; t < 60; ++t) {
            ids own(moved.expert.begin() + r.offset[t], moved.expert.begin() + r.offset[t + 1]);
            own.erase(std::remove(own.begin(), own.end(), -1), own.end());
            std::sort(own.begin(), own.end());
            CHECK(std::adjacent_find(own.begin(), own.end()) == own.end());
        }
    }
}

TEST_CASE("capacity names the option that is wrong") {
    const moe::batch<float> in;
    const auto message = [&](const auto& step) {
        try {
            step.check(in, 4, 4);
        } catch (const moe::value_error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(message(moe::capacity{{.count = -1}}) == "moe: capacity.count: wanted at least 0, got -1");
    CHECK(message(moe::capacity_pass{{.factor = -1}}) == "moe: capacity_pass.factor: wanted at least 0, got -1.000000");
    CHECK(message(moe::capacity{{.factor = std::nan("")}}) == "moe: capacity.factor: wanted at least 0, got nan");
    CHECK(message(moe::capacity_reroute{{.least = -2}}) == "moe: capacity_reroute.least: wanted at least 0, got -2");
    CHECK(message(moe::capacity{{.multiple = 0}}) == "moe: capacity.multiple: wanted at least 1, got 0");
    CHECK(message(moe::capacity{{.scope = capacity_scope::rows}}) == "moe: capacity.rows: wanted at least 1, got 0");
}
