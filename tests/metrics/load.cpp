#include "moe/metrics/load.hpp"

#include "moe/moe.hpp"
#include "support/catch.hpp"

using moe::index_t;

namespace {

// A recorded choice of one slot per token, sent through a layer whose weights are the scores 1/E.
template <class F>
void with_routes(const std::vector<index_t>& expert, index_t experts, index_t k, std::vector<std::uint8_t> mask, F&& f) {
    const index_t tokens = index_t(expert.size()) / k;
    moe::layer layer{moe::router{moe::linear_gate<double>{{.features = 2, .experts = experts}}, moe::softmax{}, moe::top_k{.k = k}},
                     moe::ffn_bank<double, moe::silu>{{.features = 2, .hidden = 1, .experts = experts}}};
    moe::matrix<double> x(tokens, 2), y(tokens, 2);
    std::vector<index_t> offset;
    for (index_t t = 0; t <= tokens; ++t) offset.push_back(t * k);
    moe::batch<double> in;
    in.x = x;
    in.mask = mask;
    in.replay_offset = offset;
    in.replay_expert = expert;
    moe::tape<double> tape;
    moe::reference b;
    layer.forward(b, in, y.view(), tape);
    f(tape.plan(), tape.routing());
}

}  // namespace

TEST_CASE("load statistics count routes, weights, dead experts and dropped slots") {
    with_routes({0, 1, 0, -1, 0, 3}, 4, 2, {}, [](const auto& plan, const auto& s) {
        const moe::load_stats stats(plan, s);
        CHECK(std::vector<double>(stats.count().begin(), stats.count().end()) == std::vector<double>{3, 1, 0, 1});
        CHECK(stats.mass()[0] == Approx(0.75));
        CHECK(stats.mass()[2] == 0.0);
        CHECK(stats.routes() == 5);
        CHECK(stats.tokens() == 3);
        CHECK(stats.dropped() == 1);
        CHECK(stats.dropped_share() == Approx(1.0 / 6));
        CHECK(stats.experts_per_token() == Approx(5.0 / 3));
        CHECK(stats.dead() == 1);
        CHECK(stats.max_over_mean() == Approx(2.4));
        CHECK(stats.min_over_mean() == 0.0);
        CHECK(stats.max_violation() == Approx(1.4));
        CHECK(stats.min_violation() == -1.0);
        CHECK(stats.mean_violation() == Approx((1.4 + 0.2 + 1.0 + 0.2) / 4));
        CHECK(stats.cv() == Approx(std::sqrt((1.96 + 0.04 + 1.0 + 0.04) / 4)));
        CHECK(stats.entropy() == Approx(-(0.6 * std::log(0.6) + 2 * 0.2 * std::log(0.2))));
        CHECK(stats.fairness() == Approx(25.0 / (4 * 11)));
    });
}

TEST_CASE("an even load has cv 0, entropy ln E and no violation") {
    with_routes({0, 1, 2, 3, 3, 2, 1, 0}, 4, 1, {}, [](const auto& plan, const auto& s) {
        const moe::load_stats stats(plan, s);
        CHECK(stats.cv() == 0.0);
        CHECK(stats.entropy() == Approx(std::log(4.0)));
        CHECK(stats.effective() == Approx(4.0));
        CHECK(stats.max_over_mean() == 1.0);
        CHECK(stats.max_violation() == 0.0);
        CHECK(stats.min_violation() == 0.0);
        CHECK(stats.fairness() == 1.0);
        CHECK(stats.dead() == 0);
    });
}

TEST_CASE("load statistics leave masked tokens out and add up over batches") {
    moe::load_stats sum(3);
    with_routes({0, 1, 2}, 3, 1, {1, 0, 1}, [&](const auto& plan, const auto& s) { sum.add(plan, s); });
    with_routes({0, 0}, 3, 1, {}, [&](const auto& plan, const auto& s) { sum.add(plan, s); });
    CHECK(std::vector<double>(sum.count().begin(), sum.count().end()) == std::vector<double>{3, 0, 1});
    CHECK(sum.tokens() == 4);
    CHECK(sum.dropped() == 0);
    sum.clear();
    CHECK(sum.routes() == 0);
    CHECK(sum.max_over_mean() == 0.0);
    CHECK(sum.cv() == 0.0);
    CHECK(sum.entropy() == 0.0);
    CHECK(sum.effective() == 0.0);
    CHECK(sum.max_violation() == 0.0);
    CHECK(sum.min_violation() == 0.0);
    CHECK(sum.experts_per_token() == 0.0);
    CHECK(sum.dead() == 3);
}

TEST_CASE("a forward that is recomputed counts nothing by itself: statistics are those of the plans they are given") {
    const auto counts_of = [](int times) {
        moe::load_stats stats(3);
        for (int i = 0; i < times; ++i) {
            with_routes({0, 1, 1}, 3, 1, {}, [&](const auto& plan, const auto& s) {
                if (i == 0) stats.add(plan, s);
            });
        }
        return std::vector<double>(stats.count().begin(), stats.count().end());
    };
    CHECK(counts_of(1) == std::vector<double>{1, 2, 0});
    CHECK(counts_of(2) == counts_of(1));
}

TEST_CASE("load statistics refuse a plan of another number of experts") {
    moe::load_stats sum(3);
    with_routes({0, 1}, 2, 1, {}, [&](const auto& plan, const auto& s) {
        CHECK_THROWS_WITH(sum.add(plan, s), "moe: load_stats: plan: wanted [3] experts, got [2]");
    });
    CHECK_THROWS_WITH(moe::load_stats(0), "moe: load_stats: experts: wanted at least 1, got 0");
}
