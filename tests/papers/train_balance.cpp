// Papers on balance without a gradient, schedules and metrics; numbers in brackets are the project's list of papers.
#include "papers/train_given.hpp"

using given::index_t;

namespace {

auto biased_layer(index_t experts, index_t k) {
    return moe::layer{moe::router{given::pass_through(experts), moe::sigmoid{}, moe::selection_bias{experts},
                                  moe::top_k{.k = k}, moe::renormalize{}},
                      given::small_bank(experts, experts)};
}

}  // namespace

TEST_CASE("[87] ALF-LB: the sign and the constant rule on loads of 6 and 2") {
    std::vector<float> bias(2, 0.0f);
    const std::vector<double> load{6, 2};
    moe::sign_bias{.rate = 0.5}.update(std::span<float>(bias), std::span<const double>(load));
    CHECK(bias == std::vector<float>{-0.5f, 0.5f});
    bias = {0.0f, 0.0f};
    moe::sign_bias{.rate = 0.5, .rule = moe::bias_rule::proportional}.update(std::span<float>(bias),
                                                                            std::span<const double>(load));
    CHECK(bias == std::vector<float>{-1.0f, 1.0f});
}

TEST_CASE("[87] ALF-LB: tokens that change expert move to a strictly less loaded one, and weights hold no bias") {
    auto scores = moe::testing::random_matrix<double>(128, 6, 4);
    for (index_t t = 0; t < 128; ++t) scores(t, 1) += 1.0;
    given::call c(biased_layer(6, 1), std::move(scores));
    moe::sign_bias controller{.rate = 0.02};
    int moves = 0;
    for (int step = 0; step < 60; ++step) {
        const std::vector<index_t> loads = c.loads();
        const std::vector<index_t> before(c.tape.routing().routes.expert.begin(), c.tape.routing().routes.expert.end());
        controller.update(moe::get<moe::selection_bias>(c.layer).bias, c.plan());
        c.run();
        for (std::size_t t = 0; t < before.size(); ++t) {
            const index_t after = c.tape.routing().routes.expert[t];
            CHECK(c.tape.routing().routes.weight[t] == 1.0);
            if (after == before[t]) continue;
            ++moves;
            CHECK(loads[std::size_t(after)] < loads[std::size_t(before[t])]);
        }
    }
    CHECK(moves > 20);
    CHECK(moe::load_stats(c.plan(), c.tape.routing()).max_over_mean() < 1.4);
}

TEST_CASE("[116] ExpertCondenser: soft usage pushes busy experts up, the opposite direction balances") {
    std::vector<float> bias(3, 0.0f);
    const std::vector<double> usage{3, 1, 2};
    moe::sign_bias{.rate = 0.125, .direction = moe::bias_direction::concentrate}.update(std::span<float>(bias),
                                                                                     std::span<const double>(usage));
    CHECK(bias == std::vector<float>{0.125f, -0.125f, 0.0f});
    moe::sign_bias{.rate = 0.125}.update(std::span<float>(bias), std::span<const double>(usage));
    CHECK(bias == std::vector<float>{0.0f, 0.0f, 0.0f});
}

TEST_CASE("[126] BIP: prices move half of the tokens away from the expert that all prefer") {
    auto layer = moe::layer{moe::router{given::pass_through(2), moe::selection_bias{2}, moe::top_k{.k = 1}},
                            given::small_bank(2, 2)};
    given::call c(std::move(layer), given::rows({{.9, .1}, {.9, .3}, {.6, .2}, {.6, .5}}));
    CHECK(c.loads() == std::vector<index_t>{4, 0});
    auto& bias = moe::get<moe::selection_bias>(c.layer).bias;
    moe::dual_quantile{.rounds = 1, .midpoint = true}.update(c.b, bias, c.tape.routing());
    CHECK(bias[0] == Approx(-0.5));
    CHECK(bias[1] == 0.0f);
    c.run();
    CHECK(c.loads() == std::vector<index_t>{2, 2});
    CHECK(c.tape.routing().routes.weight[0] == Approx(.9));
}

TEST_CASE("[76] Expert Race: the running threshold takes over at inference, where there is no batch to race in") {
    auto race = moe::layer{moe::router{given::pass_through(3), moe::global_top{.experts_per_token = 1.0}},
                           given::small_bank(3, 3)};
    given::call c(std::move(race), given::rows({{3, 2, -1}, {1, 0, 0.5}}));
    CHECK(c.loads() == std::vector<index_t>{1, 1, 0});
    CHECK(c.plan().token[1] == 0);
    double tau = 0.0;
    moe::ema_threshold{}.update(c.b, tau, c.tape.routing());
    CHECK(tau == 2.0);
    auto alone = moe::layer{moe::router{given::pass_through(3), moe::threshold{.value = tau, .inclusive = true}},
                            given::small_bank(3, 3)};
    given::call one(std::move(alone), given::rows({{3, 2, -1}}));
    CHECK(one.loads() == std::vector<index_t>{1, 1, 0});
}

TEST_CASE("[27] SMoE-Dropout: the number of experts grows from 8 to 16 and a larger one contains a smaller one") {
    const moe::linear_schedule k{.from = 8, .to = 16, .steps = 1600};
    CHECK(moe::rounded(k(0)) == 8);
    CHECK(moe::rounded(k(100)) == 8);  // 8.5, half to even
    CHECK(moe::rounded(k(800)) == 12);
    CHECK(moe::rounded(k(1600)) == 16);
    auto layer = moe::layer{moe::router{given::pass_through(16), moe::top_k{.k = 8}, moe::softmax_selected{}},
                            given::small_bank(16, 16)};
    given::call small(layer, moe::testing::random_matrix<double>(5, 16, 3));
    moe::batch<double> more;
    more.k = moe::rounded(k(800));
    given::call large(layer, moe::testing::random_matrix<double>(5, 16, 3), more);
    CHECK(large.plan().rows() == 60);
    CHECK(moe::overlap(small.plan(), large.plan()) == 1.0);
}

TEST_CASE("[51] Dynamic expert search: k at call time gives prefixes, and the agreement of plans tells how much changed") {
    given::call two(given::softmax_layer(6, 2), moe::testing::random_matrix<double>(9, 6, 3));
    moe::batch<double> more;
    more.k = 3;
    given::call three(given::softmax_layer(6, 2), moe::testing::random_matrix<double>(9, 6, 3), more);
    CHECK(moe::overlap(two.plan(), three.plan()) == 1.0);
    CHECK(moe::overlap(three.plan(), two.plan()) == Approx(2.0 / 3));
}

TEST_CASE("[112] EC-DLM: the number of experts follows the mask ratio backwards") {
    const moe::linear_schedule reverse{.from = 32, .to = 8, .steps = 1000};
    CHECK(moe::rounded(reverse(0)) == 32);
    CHECK(moe::rounded(reverse(500)) == 20);
    CHECK(moe::rounded(reverse(1000)) == 8);
    const moe::cosine_schedule cosine{.from = 8, .to = 32, .steps = 1000};
    CHECK(moe::rounded(cosine(500)) == 20);
    CHECK(cosine(250) == Approx(8 + 24 * (1 - std::cos(0.25 * 3.14159265358979)) / 2));
}

TEST_CASE("[61] Local routing consistency of one layer's routing") {
    given::call c(given::softmax_layer(3, 1), given::rows({{1, 0, 0}, {1, 0, 0}, {0, 1, 0}, {1, 0, 0}}));
    CHECK(moe::segment_routing_performance(moe::trace_of(c.tape.routing()), 2).srp == Approx(0.75));
    given::call d(given::softmax_layer(3, 1),
                  given::rows({{1, 0, 0}, {0, 1, 0}, {1, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}}));
    CHECK(moe::segment_cache_hits(moe::trace_of(d.tape.routing()), 2, 2).hits == 4);
    CHECK(moe::segment_cache_hits(moe::trace_of(d.tape.routing()), 1, 2).hits == 3);
}

TEST_CASE("[91] ExFlow: transitions between the plans of two layers") {
    const auto one_hot = [](const std::vector<index_t>& expert) {
        moe::matrix<double> z(index_t(expert.size()), 4);
        for (std::size_t t = 0; t < expert.size(); ++t) z(index_t(t), expert[t]) = 1.0;
        return z;
    };
    given::call first(given::softmax_layer(4, 1), one_hot({0, 0, 1, 1, 2, 3, 3}));
    given::call second(given::softmax_layer(4, 1), one_hot({0, 0, 1, 2, 2, 3, 1}));
    const auto pairs = moe::affinity(first.plan(), second.plan());
    // Crossings of a placement: routes between experts on other ranks.
    const auto crossings = [&](const std::vector<int>& a, const std::vector<int>& b) {
        double cost = 0.0;
        for (index_t i = 0; i < 4; ++i) {
            for (index_t j = 0; j < 4; ++j) cost += a[std::size_t(i)] != b[std::size_t(j)] ? pairs(i, j) : 0.0;
        }
        return cost;
    };
    CHECK(crossings({0, 0, 1, 1}, {0, 0, 1, 1}) == 2.0);
    CHECK(crossings({0, 1, 0, 1}, {0, 1, 0, 1}) == 1.0);
}

TEST_CASE("[85] On DeepSeekMoE: saturation, change and Jain's index of plans") {
    given::call early(given::softmax_layer(4, 2), moe::testing::random_matrix<double>(20, 4, 3));
    given::call late(given::softmax_layer(4, 2), moe::testing::random_matrix<double>(20, 4, 4));
    CHECK(moe::overlap(late.plan(), late.plan()) == 1.0);
    CHECK(moe::overlap(early.plan(), late.plan()) < 1.0);
    given::call even(given::softmax_layer(2, 1), given::rows({{1, 0}, {0, 1}}));
    CHECK(moe::load_stats(even.plan(), even.tape.routing()).fairness() == 1.0);
    given::call collapsed(given::softmax_layer(2, 1), given::rows({{1, 0}, {1, 0}}));
    CHECK(moe::load_stats(collapsed.plan(), collapsed.tape.routing()).fairness() == 0.5);
}

TEST_CASE("[11] Multilingual routing: frequencies of tokens, their contrast and the divergence of languages") {
    given::call task(given::softmax_layer(3, 2), given::rows({{3, 2, 1}, {3, 2, 1}}));
    given::call other(given::softmax_layer(3, 2), given::rows({{1, 2, 3}, {3, 2, 1}}));
    const moe::load_stats a(task.plan(), task.tape.routing()), b(other.plan(), other.tape.routing());
    CHECK(a.frequency(0) + a.frequency(1) + a.frequency(2) == Approx(2.0));
    CHECK(a.frequency(0) - b.frequency(0) == Approx(0.5));
    CHECK(a.frequency(2) - b.frequency(2) == Approx(-0.5));
    const moe::router_stats p(task.tape.routing()), q(other.tape.routing());
    CHECK(moe::js_divergence(p.experts, p.experts) == 0.0);
    CHECK(moe::js_divergence(p.experts, q.experts) > 0.01);
}

TEST_CASE("[2] ReMix: the effective number of experts of constant weights is k") {
    auto layer = moe::layer{moe::router{given::pass_through(5), moe::softmax{}, moe::top_k{.k = 3},
                                        moe::constant_weights{.value = 0.25}},
                            given::small_bank(5, 5)};
    given::call c(std::move(layer), moe::testing::random_matrix<double>(7, 5, 3));
    CHECK(moe::router_stats(c.tape.routing()).effective == Approx(3.0));
}

TEST_CASE("[49] RICE: normalised pointwise mutual information of an expert and marker tokens") {
    CHECK(moe::normalized_pmi(100, 10, 20, 8) == Approx(0.548869).epsilon(1e-5));
    CHECK(moe::normalized_pmi(100, 10, 20, 2) == Approx(0.0).margin(1e-12));
    CHECK(moe::normalized_pmi(100, 10, 10, 10) == Approx(1.0));
    CHECK(moe::normalized_pmi(100, 10, 20, 0) == -1.0);
}

TEST_CASE("[114] Dynamic expert sharing: unique experts of a block, the quantity that sharing lowers") {
    given::call c(given::softmax_layer(4, 2), given::rows({{.6, .3, .1, 0}, {.5, .1, .4, 0}, {.1, .2, .3, .4}}));
    const auto all = moe::unique_experts(moe::trace_of(c.tape.routing()), 32);
    CHECK(all.largest == 4);
    CHECK(moe::unique_experts(moe::trace_of(c.tape.routing()), 1).mean == 2.0);
}
