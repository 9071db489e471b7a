// Acceptance tests of papers about which experts a token gets.
#include "moe/key/selection_bias.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/route/drop_below.hpp"
#include "moe/route/per_expert_scale.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/softmax_selected.hpp"
#include "moe/score/expert_mask.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/always_on.hpp"
#include "moe/select/expert_choice.hpp"
#include "moe/select/global_top.hpp"
#include "moe/select/rank_set.hpp"
#include "moe/select/statistic_threshold.hpp"
#include "moe/select/threshold.hpp"
#include "moe/select/top_k.hpp"
#include "moe/select/top_p.hpp"
#include "papers/select_hand.hpp"

using namespace hand;

namespace {

const moe::batch<double> plain;

moe::per_expert_scale<double> gains(std::initializer_list<double> values) {
    moe::per_expert_scale<double> step(static_cast<moe::index_t>(values.size()));
    std::copy(values.begin(), values.end(), step.scale.data());
    return step;
}

std::vector<std::vector<double>> softmax_rows(moe::index_t tokens, moe::index_t experts) {
    std::vector<std::vector<double>> p;
    const auto z = moe::testing::random_matrix<double>(tokens, experts, 5);
    for (moe::index_t t = 0; t < tokens; ++t) {
        std::vector<double> row;
        double sum = 0;
        for (moe::index_t e = 0; e < experts; ++e) row.push_back(std::exp(z(t, e)));
        for (const double v : row) sum += v;
        for (double& v : row) v /= sum;
        p.push_back(row);
    }
    return p;
}

}  // namespace

TEST_CASE("Dynamic MoE [39] takes experts up to the first that exceeds p, and weighs them by p") {
    const auto of = [](double p, const std::vector<double>& row) {
        return chosen_by(moe::top_p{.p = p, .exceed = true}, {row}).expert;
    };
    CHECK(of(0.4, {0.5, 0.3, 0.2}) == ids{0});
    CHECK(of(0.4, {0.3, 0.3, 0.2, 0.2}) == ids{0, 1});
    CHECK(of(0.4, {0.4, 0.4, 0.2}) == ids{0, 1});
    CHECK(of(1.0, {0.4, 0.4, 0.2}) == ids{0, 1, 2});
    const auto r = route_probabilities({{0.3, 0.3, 0.2, 0.2}}, plain, moe::top_p{.p = 0.4, .exceed = true});
    CHECK(r.weight_of(0, 0) == Approx(0.3));
    CHECK(r.weight_of(0, 1) == Approx(0.3));
    for (const auto& row : softmax_rows(20, 6)) {
        std::size_t before = 1;
        for (double p = 0; p <= 1; p += 0.05) {
            const std::size_t count = of(p, row).size();
            CHECK(count >= before);
            before = count;
        }
    }
}

TEST_CASE("DynMoLE [28] leaves the crossing expert out and keeps at least two") {
    const moe::top_p rule{.p = 0.75, .include_crossing = false, .min_experts = 2};
    const auto r = route_probabilities({{0.6, 0.3, 0.1}, {0.9, 0.05, 0.05}, {0.5, 0.2, 0.3}}, plain, rule);
    CHECK(r.of(0) == ids{0, 1});
    CHECK(r.weight_of(0, 0) == Approx(0.6));
    CHECK(r.weight_of(0, 1) == Approx(0.3));
    CHECK(r.of(1) == ids{0, 1});
    CHECK(r.of(2) == ids{0, 2});
}

TEST_CASE("UniMoE-Audio [153] counts the experts that reach p") {
    const auto count = [](double p) { return chosen_by(moe::top_p{.p = p}, {{0.5, 0.3, 0.2}}).expert.size(); };
    CHECK(count(0.4) == 1);
    CHECK(count(0.5) == 1);
    CHECK(count(0.7) == 2);
    CHECK(count(1.0) == 3);
}

TEST_CASE("DynaMoE [13] thresholds a token at a percentile of its logits") {
    const auto of = [](bool inclusive, const std::vector<double>& row) {
        ids e = chosen_by(moe::token_threshold{.q = 0.5, .inclusive = inclusive}, {row}).expert;
        std::sort(e.begin(), e.end());
        return e;
    };
    CHECK(of(false, {0.1, 0.2, 0.3, 0.4}) == ids{2, 3});
    CHECK(of(false, {-7, 2, 0.3, 90}) == ids{1, 3});
    CHECK(of(false, {0.7, 0.1, 0.1, 0.1}) == ids{0});
    CHECK(of(true, {0.7, 0.1, 0.1, 0.1}) == ids{0, 1, 2, 3});
    CHECK(of(false, {0.2, 0.2, 0.2}) == ids{0});
    // Of one token's distinct logits the number is always the same; of the batch's it is not.
    const auto p = softmax_rows(30, 8);
    const auto own = chosen_by(moe::token_threshold{.q = 0.5}, p);
    const auto all = chosen_by(moe::batch_threshold{.q = 0.5}, p);
    bool varies = false;
    for (moe::index_t t = 0; t < 30; ++t) {
        CHECK(own.of(t).size() == 4);
        CHECK(all.of(t).size() >= 1);
        varies = varies || all.of(t).size() != 4;
    }
    CHECK(varies);
}

TEST_CASE("Expert Race [76] lets all pairs of the batch race, and thresholds a token alone") {
    const std::vector<std::vector<double>> z = {{3, 2, -1}, {1, 0, 0.5}};
    const auto r = route_logits(z, plain, moe::global_top{});
    CHECK(r.of(0) == ids{0, 1});
    CHECK(r.of(1).empty());
    CHECK(r.weight == std::vector<double>{3, 2});
    // The second-largest logit is 2: as a threshold it lets the same pairs pass.
    CHECK(route_logits(z, plain, moe::threshold{.value = 2, .inclusive = true}).expert == r.expert);
    const auto p = softmax_rows(12, 5);
    CHECK(chosen_by(moe::global_top{.experts_per_token = 2}, p).expert.size() == 24);
}

TEST_CASE("EC-DLM [112] lets every expert take its best tokens and weighs by softmax over those that took one") {
    const std::vector<std::vector<double>> z = {{2, 0}, {1, 3}, {0, 1}, {-1, 2}};
    const auto one = route_logits(z, plain, moe::expert_choice{.capacity = 1}, moe::softmax_selected{});
    CHECK(one.of(0) == ids{0});
    CHECK(one.of(1) == ids{1});
    CHECK(one.of(2).empty());
    CHECK(one.of(3).empty());
    const auto two = route_logits(z, plain, moe::expert_choice{.capacity = 2}, moe::softmax_selected{});
    CHECK(two.weight_of(1, 0) == Approx(0.1192).margin(5e-5));
    CHECK(two.weight_of(1, 1) == Approx(0.8808).margin(5e-5));
    CHECK(two.of(2).empty());
    CHECK(two.load(0) == 2);
    CHECK(two.load(1) == 2);
    // C = max(1, floor(L k / E)) per sample: samples of one token get one.
    const ids cut = {0, 3, 4};
    moe::batch<double> in;
    in.sequence = cut;
    const auto samples = route_logits(z, in, moe::expert_choice{.capacity_factor = 1.4, .per_sequence = true});
    CHECK(samples.load(0) == 2 + 1);
    CHECK(samples.of(3) == ids{0, 1});
}

TEST_CASE("MoMa [36] lets experts of a modality take tokens of it alone, each the same share") {
    // Eight text tokens, then four image tokens: a modality is a sequence. Four text and four image experts.
    const auto z = moe::testing::random_matrix<double>(12, 8, 3);
    std::vector<std::vector<double>> logits;
    for (moe::index_t t = 0; t < 12; ++t) {
        logits.emplace_back(z.view().row(t), z.view().row(t) + 8);
        for (std::size_t e = 0; e < 8; ++e) {
            if ((e < 4) != (t < 8)) logits.back()[e] = -std::numeric_limits<double>::infinity();
        }
    }
    const ids cut = {0, 8, 12};
    moe::batch<double> in;
    in.sequence = cut;
    const auto c = chosen_by(moe::expert_choice{.capacity_factor = 2, .per_sequence = true}, logits, in);
    ids load(8, 0);
    for (const moe::index_t e : c.expert) ++load[std::size_t(e)];
    CHECK(load == ids{2, 2, 2, 2, 1, 1, 1, 1});
    for (moe::index_t t = 0; t < 12; ++t) {
        for (const moe::index_t e : c.ids(t)) CHECK((e < 4) == (t < 8));
    }
    // The auxiliary router of causal inference: exactly 0.5 is not selected.
    const auto aux = route_logits({{0, 1e-9, -3}}, plain, moe::sigmoid{}, moe::threshold{.value = 0.5});
    CHECK(aux.of(0) == ids{1});
}

TEST_CASE("SCMoE [29] takes the experts at given ranks, renormalised") {
    const auto strong = route_probabilities({{0.5, 0.3, 0.2}}, plain, moe::rank_set{{0, 1}}, moe::renormalize{});
    CHECK(strong.weight_of(0, 0) == Approx(0.625));
    CHECK(strong.weight_of(0, 1) == Approx(0.375));
    const auto weak = route_probabilities({{0.5, 0.3, 0.2}}, plain, moe::rank_set{{2}}, moe::renormalize{});
    CHECK(weak.of(0) == ids{2});
    CHECK(weak.weight_of(0, 2) == 1.0);
}

TEST_CASE("Dynamic Experts Search [51] changes k by the call, and larger k keep the smaller choice") {
    const auto p = softmax_rows(15, 6);
    routed before;
    for (moe::index_t k = 1; k <= 6; ++k) {
        moe::batch<double> in;
        in.k = k;
        const auto r = route_probabilities(p, in, moe::top_k{.k = 3}, moe::renormalize{});
        for (std::size_t t = 0; t < 15; ++t) {
            CHECK(r.of(t).size() == std::size_t(k));
            if (k == 1) continue;
            const ids smaller = before.of(t);
            const ids larger = r.of(t);
            CHECK(std::equal(smaller.begin(), smaller.end(), larger.begin()));
        }
        if (k == 3) CHECK(r.weight == route_probabilities(p, plain, moe::top_k{.k = 3}, moe::renormalize{}).weight);
        before = r;
    }
    moe::batch<double> in;
    in.k = 7;
    CHECK_THROWS_AS(route_probabilities(p, in, moe::top_k{.k = 3}), moe::value_error);
}

TEST_CASE("ExpertCondenser [116] gives every token the condensers, weighted by their own probability") {
    const auto p = softmax_rows(10, 4);
    const auto r = route_probabilities(p, plain, moe::always_on{moe::top_k{.k = 2}, {.experts = {1, 3}}});
    for (std::size_t t = 0; t < 10; ++t) {
        for (const moe::index_t f : {1, 3}) CHECK(r.weight_of(t, f) == Approx(p[t][std::size_t(f)]));
        CHECK(r.of(t).size() <= 4);
    }
}

TEST_CASE("Inkling's joint weights divide by the sigmoids of the selected and of all shared experts") {
    // Experts 0..3 routed, 4 and 5 shared; the bias acts in the choice of routed experts alone.
    const std::vector<double> z = {1.0, -0.5, 0.25, 0.0, 2.0, -1.0};
    moe::selection_bias bias(6);
    bias.bias[1] = 10;
    const auto r =
        route_logits({z}, plain, moe::sigmoid{}, bias,
                     moe::always_on{moe::top_k{.k = 2}, {.experts = {4, 5}, .hidden = true}}, moe::renormalize{});
    CHECK(r.of(0) == ids{1, 0, 4, 5});
    double sum = 0;
    for (const std::size_t e : {0u, 1u, 4u, 5u}) sum += 1 / (1 + std::exp(-z[e]));
    for (const moe::index_t e : {0, 1, 4, 5}) {
        CHECK(r.weight_of(0, e) == Approx(1 / (1 + std::exp(-z[std::size_t(e)])) / sum).epsilon(1e-14));
    }
}

TEST_CASE("RICE [49] amplifies chosen experts where they are selected, in front of the normalisation") {
    const auto base = route_probabilities({{0.6, 0.4}, {0.9, 0.1}}, plain, moe::top_k{.k = 2}, gains({1, 2}),
                                          moe::renormalize{});
    CHECK(base.weight_of(0, 0) == Approx(3.0 / 7));
    CHECK(base.weight_of(0, 1) == Approx(4.0 / 7));
    const auto p = softmax_rows(20, 6);
    const auto without = route_probabilities(p, plain, moe::top_k{.k = 2}, moe::renormalize{});
    const auto ones = route_probabilities(p, plain, moe::top_k{.k = 2}, gains({1, 1, 1, 1, 1, 1}), moe::renormalize{});
    const auto with = route_probabilities(p, plain, moe::top_k{.k = 2}, gains({1, 1, 64, 1, 1, 1}), moe::renormalize{});
    CHECK(ones.weight == without.weight);
    CHECK(with.expert == without.expert);
    for (std::size_t t = 0; t < 20; ++t) {
        const ids own = without.of(t);
        if (std::find(own.begin(), own.end(), 2) != own.end()) continue;
        for (const moe::index_t e : own) CHECK(with.weight_of(t, e) == without.weight_of(t, e));
    }
}

TEST_CASE("Tunable experts [65] are switched off with or without refilling their slot") {
    const std::vector<std::vector<double>> p = {{0.5, 0.3, 0.2}};
    const auto off = route_probabilities(p, plain, moe::top_k{.k = 2}, gains({0, 1, 1}), moe::renormalize{});
    CHECK(off.weight_of(0, 0) == 0.0);
    CHECK(off.weight_of(0, 1) == Approx(1.0));
    CHECK(off.weight_of(0, 2) == 0.0);
    const auto refill = route_probabilities(p, plain, moe::expert_mask{rows_of<std::uint8_t>({{0, 1, 1}})},
                                            moe::top_k{.k = 2}, moe::renormalize{});
    CHECK(refill.weight_of(0, 1) == Approx(0.6));
    CHECK(refill.weight_of(0, 2) == Approx(0.4));
    CHECK(route_probabilities(p, plain, moe::top_k{.k = 2}, gains({1, 1, 1}), moe::renormalize{}).weight ==
          route_probabilities(p, plain, moe::top_k{.k = 2}, moe::renormalize{}).weight);
}

TEST_CASE("MC# [64] drops the second expert where it weighs little beside the first") {
    const auto r = route_probabilities({{0.6, 0.2, 0.2}, {0.4, 0.35, 0.25}}, plain, moe::top_k{.k = 2},
                                       moe::drop_below{.ratio = 0.5}, moe::renormalize{});
    CHECK(r.of(0) == ids{0});
    CHECK(r.weight_of(0, 0) == 1.0);
    CHECK(r.of(1) == ids{0, 1});
    CHECK(r.weight_of(1, 0) == Approx(0.4 / 0.75));
}

TEST_CASE("ReMix [2] gives every selected adapter the same weight, and k of them the support size k") {
    const double omega = 2.0 / (3 * 8);
    const auto r = route_probabilities(softmax_rows(5, 6), plain, moe::top_k{.k = 3}, moe::constant_weights{omega});
    for (std::size_t t = 0; t < 5; ++t) {
        double sum = 0;
        double squares = 0;
        for (moe::index_t e = 0; e < 6; ++e) {
            sum += r.weight_of(t, e);
            squares += r.weight_of(t, e) * r.weight_of(t, e);
        }
        CHECK(sum == Approx(3 * omega));
        CHECK(sum * sum / squares == Approx(3));
    }
}
