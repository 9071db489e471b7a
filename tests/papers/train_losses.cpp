// Papers on losses; numbers in brackets are the project's list of papers.
#include "papers/train_given.hpp"

using given::index_t;
constexpr auto logits = moe::probabilities::softmax_of_logits;

TEST_CASE("[130] Demons in the Detail: the loss over a global batch sees what micro-batches do not") {
    given::call a(given::softmax_layer(2, 1), given::logs(given::rows({{.9, .1}, {.9, .1}})));
    given::call c(given::softmax_layer(2, 1), given::logs(given::rows({{.1, .9}, {.1, .9}})));
    CHECK(moe::load_balance{.from = logits}(a.b, a.tape) == Approx(1.8));
    CHECK(moe::load_balance{.from = logits}(c.b, c.tape) == Approx(1.8));
    a.run();
    c.run();
    moe::route_counts counts(2);
    counts.add(a.plan(), a.tape.routing());
    CHECK(moe::load_balance{.from = logits, .given = counts.load()}(a.b, a.tape) == Approx(1.8));
    counts.add(c.plan(), c.tape.routing());
    a.run();
    CHECK(moe::load_balance{.from = logits, .given = counts.load()}(a.b, a.tape) == Approx(1.0));
    CHECK(moe::load_balance{.from = logits, .given = counts.load()}(c.b, c.tape) == Approx(1.0));
    CHECK(given::largest(a.tape.d.logits) <= 1e-16);
    CHECK(given::largest(c.tape.d.logits) <= 1e-16);
}

TEST_CASE("[132] DiT-MoE: with equal counts the balance loss is its coefficient for any probabilities") {
    given::call c(given::softmax_layer(3, 2), given::logs(given::rows({{.5, .3, .2}, {.2, .5, .3}, {.3, .2, .5}})));
    CHECK(c.loads() == std::vector<index_t>{2, 2, 2});
    CHECK(moe::load_balance{.coefficient = 0.01}(c.b, c.tape) == Approx(0.01));
    CHECK(c.tape.routing().routes.weight[0] == Approx(.5));
    CHECK(c.tape.routing().routes.weight[1] == Approx(.3));
}

TEST_CASE("[62] DeepSeekMoE: expert and device balance are their coefficients at balance, and sum over device groups") {
    given::call c(given::softmax_layer(4, 1),
                  given::logs(given::rows({{.4, .3, .2, .1}, {.3, .4, .2, .1}, {.1, .2, .4, .3}, {.1, .2, .3, .4}})));
    CHECK(moe::load_balance{.coefficient = 0.003}(c.b, c.tape) == Approx(0.003));
    CHECK(moe::load_balance{.coefficient = 0.05, .groups = 2}(c.b, c.tape) == Approx(0.05));
    given::call skewed(given::softmax_layer(4, 1), given::logs(given::rows({{.4, .3, .2, .1}, {.6, .1, .2, .1}})));
    // Counts (2,0,0,0) of 2, E = 4: f = (4,0,0,0); by device f' = (2, 0), P' = (.7, .3).
    CHECK(moe::load_balance{.groups = 2}(skewed.b, skewed.tape) == Approx(2 * .7));
}

TEST_CASE("[4] ERC: expert-router coupling of two experts") {
    moe::panels<double> r(1, 2, 2), g(2, 1, 2), dr(1, 2, 2), dg(2, 1, 2);
    r(0, 0, 0) = r(0, 1, 1) = 1.0;
    g(0, 0, 0) = 2.0, g(0, 0, 1) = 1.0, g(1, 0, 0) = 1.0, g(1, 0, 1) = 3.0;
    moe::reference b;
    CHECK(moe::router_coupling{.noise = false}(b, r, g, dr, dg) == 0.0);
    CHECK(moe::router_coupling{.alpha = 0.4, .noise = false}(b, r, g, dr, dg) == Approx(0.1));
    CHECK(dg(0, 0, 0) == Approx(-0.2));
    CHECK(dg(0, 0, 1) == Approx(0.25));
    CHECK(dg(1, 0, 0) == Approx(0.25));
}

TEST_CASE("[4] ERC: trains the gate and the gated bank of a layer without a token") {
    auto layer = moe::layer{moe::router{moe::linear_gate<double>{{.features = 6, .experts = 4}}, moe::softmax{},
                                        moe::top_k{.k = 2}, moe::renormalize{}},
                            moe::swiglu_bank<double>{{.features = 6, .hidden = 3, .experts = 4, .seed = 2}}};
    auto gradient = layer.make_gradient();
    moe::reference b;
    moe::adamw optimizer({.learning_rate = 0.01, .weight_decay = 0.0});
    double first = 0.0, last = 0.0;
    for (std::uint64_t step = 0; step < 100; ++step) {
        moe::zero_gradient(layer, gradient);
        last = moe::router_coupling{.step = step}(b, layer.router().step<0>().weight, layer.experts().gate,
                                                  std::get<0>(std::get<0>(gradient)).weight, std::get<1>(gradient).gate);
        if (step == 0) first = last;
        optimizer.step(layer, gradient);
    }
    CHECK(first > 0.01);
    CHECK(last < 0.3 * first);
}

TEST_CASE("[16] RoMA: the distance from weighted neighbours and its gradient") {
    // r = (1,0), neighbours (0,1) and (1,0) with weights 1/2: L = 1, dL/dr = (1,-1).
    auto layer = moe::layer{moe::router{given::pass_through(2), moe::top_k{.k = 1}}, given::small_bank(2, 2)};
    given::call c(std::move(layer), given::rows({{1, 0}}));
    const auto first = given::rows({{0, 1}}), second = given::rows({{1, 0}});
    const moe::match_routing half{.coefficient = 0.5, .distance = moe::routing_distance::squared};
    CHECK(half(c.b, c.tape, first) + half(c.b, c.tape, second) == Approx(1.0));
    CHECK(c.tape.d.scores(0, 0) == Approx(1.0));
    CHECK(c.tape.d.scores(0, 1) == Approx(-1.0));
    c.run();
    CHECK(half(c.b, c.tape, second) == 0.0);
}

TEST_CASE("[40] PMOE: the frequency loss is least where the weights are the shares of the labels") {
    const auto loss_at = [](double w) {
        auto layer = moe::layer{moe::router{given::pass_through(2), moe::top_k{.k = 1}}, given::small_bank(2, 2)};
        given::call c(std::move(layer), given::rows({{w, 1 - w}, {w, 1 - w}, {w, 1 - w}, {w, 1 - w}}));
        const auto best = given::rows({{1, 0}, {1, 0}, {0, 1}, {1, 0}});
        return moe::match_routing{.distance = moe::routing_distance::squared}(c.b, c.tape, best);
    };
    CHECK(loss_at(0.75) < loss_at(0.74));
    CHECK(loss_at(0.75) < loss_at(0.76));
}

TEST_CASE("[18] AdvMoE: the divergence of equal routings is 0 and of others above it") {
    given::call c(given::softmax_layer(2, 1), given::logs(given::rows({{.7, .3}})));
    const auto same = given::rows({{.7, .3}}), other = given::rows({{.5, .5}});
    const moe::match_routing kl{.distance = moe::routing_distance::router_to_target};
    CHECK(kl(c.b, c.tape, same) == Approx(0.0).margin(1e-15));
    CHECK(kl(c.b, c.tape, other) == Approx(.7 * std::log(1.4) + .3 * std::log(.6)));
}

TEST_CASE("[163] DriftMoE: the loss of experts that are right") {
    auto layer = moe::layer{moe::router{given::pass_through(2), moe::top_k{.k = 1}}, given::small_bank(2, 2)};
    given::call c(std::move(layer), given::rows({{0, 0}}));
    CHECK(moe::binary_match{}(c.b, c.tape, given::rows({{1, 1}})) == Approx(std::log(2.0)));
    CHECK(c.tape.d.logits(0, 0) == Approx(-.25));
    CHECK(c.tape.d.logits(0, 1) == Approx(-.25));
}

TEST_CASE("[28] DynMoLE: Tsallis entropies and the soft balance") {
    const auto entropy = [](moe::matrix<double> p, moe::tsallis_entropy loss) {
        given::call c(given::softmax_layer(p.cols(), 1), given::logs(std::move(p)));
        return loss(c.b, c.tape);
    };
    CHECK(entropy(given::rows({{.6, .3, .1}}), {}) == Approx(0.812).epsilon(1e-3));
    CHECK(entropy(given::rows({{.5, .3, .2}}), {}) == Approx(0.935).epsilon(1e-3));
    CHECK(entropy(given::rows({{.5, .3, .2}}), {.q = 2.0, .normalised = false}) == Approx(0.62));
    for (const double q : {0.5, 1.0, 1.1, 2.0}) CHECK(entropy(given::rows({{.25, .25, .25, .25}}), {.q = q}) == Approx(1.0));
    auto layer = moe::layer{moe::router{given::pass_through(3), moe::softmax{},
                                        moe::top_p{.p = 0.75, .include_crossing = false, .min_experts = 2}},
                            given::small_bank(3, 3)};
    given::call c(std::move(layer), given::logs(given::rows({{.9, .05, .05}, {.2, .5, .3}})));
    CHECK(c.loads() == std::vector<index_t>{1, 2, 1});
    const double w[] = {.45, .275, .15}, p[] = {.55, .275, .175};
    CHECK(moe::soft_balance{}(c.b, c.tape) == Approx(3 * (w[0] * p[0] + w[1] * p[1] + w[2] * p[2])));
}

TEST_CASE("[39] Harder tasks need more experts: the entropy term lowers the number of experts of a top-p router") {
    auto layer = moe::layer{moe::router{moe::linear_gate<double>{{.features = 4, .experts = 8, .seed = 1}}, moe::softmax{},
                                        moe::top_p{.p = 0.4, .exceed = true}},
                            given::small_bank(4, 8)};
    given::call c(std::move(layer), moe::testing::random_matrix<double>(64, 4, 3));
    const index_t before = c.plan().rows();
    moe::adamw optimizer({.learning_rate = 0.02, .weight_decay = 0.0});
    const moe::matrix<double> zero(64, 4);
    moe::matrix<double> dx(64, 4);
    for (int step = 0; step < 60; ++step) {
        auto gradient = c.layer.make_gradient();
        moe::load_balance{.coefficient = 1e-2}(c.b, c.tape);
        moe::token_entropy{}(c.b, c.tape);
        c.layer.backward(c.b, zero.view(), c.tape, dx.view(), gradient);
        optimizer.step(c.layer, gradient);
        c.run();
    }
    CHECK(c.plan().rows() < 0.7 * before);
    CHECK(c.plan().rows() >= 64);
}

TEST_CASE("[10] LoRA-Mixer: the sign of the entropy term decides whether routers specialise") {
    given::call c(given::softmax_layer(2, 1), given::logs(given::rows({{.7, .3}})));
    CHECK(moe::token_entropy{.from = logits}(c.b, c.tape) == Approx(0.610864).epsilon(1e-6));
    CHECK(c.tape.d.logits(0, 0) == Approx(-0.177933).epsilon(1e-5));
    CHECK(c.tape.d.logits(0, 1) == Approx(0.177933).epsilon(1e-5));
    c.run();
    moe::token_entropy{.coefficient = -1.0, .from = logits}(c.b, c.tape);
    CHECK(c.tape.d.logits(0, 0) == Approx(0.177933).epsilon(1e-5));
}

TEST_CASE("[76] Expert Race: router similarity of balanced and collapsed routers") {
    const auto of = [](moe::matrix<double> p, const std::vector<index_t>& expert, index_t k) {
        std::vector<index_t> offset;
        for (index_t t = 0; t <= p.rows(); ++t) offset.push_back(t * k);
        moe::batch<double> recorded;
        recorded.replay_offset = offset;
        recorded.replay_expert = expert;
        auto layer = moe::layer{moe::router{given::pass_through(p.cols()), moe::top_k{.k = k}},
                                given::small_bank(p.cols(), p.cols())};
        given::call c(std::move(layer), std::move(p), recorded);
        return moe::router_similarity{}(c.b, c.tape);
    };
    CHECK(of(given::rows({{.5, .5}, {.5, .5}, {.5, .5}, {.5, .5}}), {0, 1, 0, 1}, 1) == Approx(0.5));
    CHECK(of(given::rows({{1, 0}, {0, 1}, {1, 0}, {0, 1}}), {0, 1, 0, 1}, 1) == Approx(1.0));
    CHECK(of(given::rows({{1, 0}, {1, 0}, {1, 0}, {1, 0}}), {0, 0, 0, 0}, 1) == Approx(2.0));
}

TEST_CASE("[77] VER: teacher information and the gradient through raw weights") {
    moe::batch<double> labelled;
    const std::vector<index_t> teacher{0, 1};
    labelled.label = teacher;
    given::call apart(given::softmax_layer(2, 1), given::rows({{800, 0}, {0, 800}}), labelled);
    CHECK(moe::group_mutual_information{.groups = 2}(apart.b, apart.tape) == Approx(-std::log(2.0)));
    given::call alike(given::softmax_layer(2, 1), given::rows({{1, 0}, {1, 0}}), labelled);
    CHECK(moe::group_mutual_information{.groups = 2}(alike.b, alike.tape) == Approx(0.0).margin(1e-15));
    const moe::linear_schedule k{.from = 6, .to = 2, .steps = 100};
    CHECK(moe::rounded(k(0)) == 6);
    CHECK(moe::rounded(k(100)) == 2);
}

TEST_CASE("[78] AdaMoE-VLA: the mean form of the balance loss is the Switch form over E squared") {
    given::call c(given::softmax_layer(4, 1), given::logs(given::rows({{.4, .3, .2, .1}, {.1, .2, .3, .4}})));
    // mean over e of f P with f = (1/2, 0, 0, 1/2), P = (.25, .25, .25, .25).
    CHECK(moe::load_balance{.coefficient = 1.0 / 16}(c.b, c.tape) == Approx((.5 * .25 + .5 * .25) / 4));
}

TEST_CASE("[80] Sigma-MoE: flat probabilities hide an uneven load from the loss, not from the metric") {
    given::call c(given::softmax_layer(4, 1), moe::matrix<double>(4, 4));
    CHECK(c.loads() == std::vector<index_t>{4, 0, 0, 0});
    CHECK(moe::load_balance{}(c.b, c.tape) == Approx(1.0));
    CHECK(moe::load_stats(c.plan(), c.tape.routing()).max_violation() == Approx(3.0));
    const moe::schedule_entry steps[] = {{0, 8}, {900, 1}};
    const moe::table_schedule k{steps};
    CHECK(moe::rounded(k(899)) == 8);
    CHECK(moe::rounded(k(900)) == 1);
}

TEST_CASE("[82] LIMoE: entropies by modality with a floor under the number of experts") {
    const std::vector<index_t> image{0, 0, 1};
    moe::batch<double> labelled;
    labelled.label = image;
    const auto loss = [&](std::vector<std::vector<double>> p, const auto& l) {
        given::call c(given::softmax_layer(2, 1), given::logs(given::rows(std::move(p))), labelled);
        return l(c.b, c.tape);
    };
    const moe::mean_entropy global{.at_least = std::log(2.0), .label = 0};
    CHECK(loss({{.9, .1}, {.9, .1}, {.5, .5}}, global) == Approx(0.3681).epsilon(1e-3));
    CHECK(loss({{.9, .1}, {.1, .9}, {.8, .2}}, global) == Approx(0.0).margin(1e-15));
    CHECK(loss({{.9, .1}, {.9, .1}, {.3, .7}}, global) == loss({{.9, .1}, {.9, .1}, {.5, .5}}, global));
    const moe::token_entropy local{.label = 1};
    CHECK(loss({{.9, .1}, {.9, .1}, {.5, .5}}, local) == Approx(std::log(2.0)));
    CHECK(loss({{.9, .1}, {.9, .1}, {.5, .5}}, moe::mean_entropy{.at_least = 1.0, .label = 7}) == 0.0);
}

TEST_CASE("[1] T2MIR: importance and load, with the noisy logits deciding membership") {
    std::vector<double> importance{2, 0};
    CHECK(moe::detail::squared_cv(importance) == Approx(2.0));
    auto layer = moe::layer{moe::router{given::pass_through(4), moe::gaussian_noise{.sigma = 0.3}, moe::top_k{.k = 2},
                                        moe::softmax_selected{}},
                            given::small_bank(4, 4)};
    moe::batch<double> training;
    training.training = true;
    given::call c(std::move(layer), moe::testing::random_matrix<double>(12, 4, 6), training);
    const auto both = [](auto& b, auto& tape) {
        return moe::importance_cv2{.coefficient = 0.1, .from = moe::probabilities::route_weights}(b, tape) +
               moe::load_cv2{.coefficient = 0.1, .k = 2, .noise = {.sigma = 0.3}}(b, tape);
    };
    const auto report = moe::testing::check_gradients(c.b, c.layer, c.in, both);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
}

TEST_CASE("[97] HMoE: the size penalty of equal sizes is the balance loss, and 3 to 1 costs three times") {
    given::call c(given::softmax_layer(2, 1), given::logs(given::rows({{.6, .4}, {.4, .6}})));
    const std::vector<double> equal{1, 1}, sizes{0.5, 1.5};
    CHECK(moe::load_balance{.cost = equal}(c.b, c.tape) == Approx(1.0));
    c.run();
    moe::load_balance{.cost = sizes}(c.b, c.tape);
    CHECK(c.tape.d.scores(0, 1) == Approx(3 * c.tape.d.scores(0, 0)));
}

TEST_CASE("[110] UniPool: the pool loss is lagged counts of all layers, and load balance with one layer and no lag") {
    given::call one(given::softmax_layer(3, 1), given::logs(given::rows({{.5, .3, .2}, {.1, .8, .1}})));
    given::call two(given::softmax_layer(3, 1), given::logs(given::rows({{.2, .3, .5}, {.1, .1, .8}})));
    moe::route_counts previous(3);
    previous.add(one.plan(), one.tape.routing());
    CHECK(moe::load_balance{.given = previous.load()}(one.b, one.tape) == Approx(moe::load_balance{}(one.b, one.tape)));
    previous.add(two.plan(), two.tape.routing());
    // Each layer's part of M * sum F P with F over both layers, P averaged over them.
    const double pool = 3 * (.25 * (.3 + .15) / 2 + .25 * (.55 + .2) / 2 + .5 * (.15 + .65) / 2);
    const moe::load_balance part{.coefficient = 0.5, .given = previous.load()};
    CHECK(part(one.b, one.tape) + part(two.b, two.tape) == Approx(pool));
}

TEST_CASE("[123] AdaMoE: null experts share their load and true weights are renormalised") {
    auto layer = moe::layer{moe::router{given::pass_through(4), moe::softmax{}, moe::top_k{.k = 3},
                                        moe::null_experts{.first = 2}, moe::renormalize{}},
                            given::small_bank(4, 4)};
    given::call c(std::move(layer), given::logs(given::rows({{.4, .1, .3, .2}})));
    CHECK(c.loads() == std::vector<index_t>{1, 0, 0, 0});
    CHECK(c.tape.routing().routes.weight[0] == Approx(1.0));
    // Three slots: one true route, two nulls, which are shared by both null experts.
    CHECK(moe::load_balance{.null_experts = 2}(c.b, c.tape) == Approx(4.0 / 3 * (.4 + .3 + .2)));
}

TEST_CASE("[42] MoDE: the balance of renormalised weights and the z loss") {
    auto layer = moe::layer{moe::router{given::pass_through(3), moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}},
                            given::small_bank(3, 3)};
    given::call c(std::move(layer), given::logs(given::rows({{.6, .25, .15}, {.1, .3, .6}})));
    const double w[] = {.6 / .85 / 2, (.25 / .85 + 1.0 / 3) / 2, (2.0 / 3) / 2};
    const moe::load_balance loss{.from = moe::probabilities::route_weights};
    CHECK(loss(c.b, c.tape) == Approx(3 * (.25 * w[0] + .5 * w[1] + .25 * w[2])));
    CHECK(moe::z_loss{}(c.b, c.tape) == Approx(0.0).margin(1e-15));
    const auto report = moe::testing::check_gradients(c.b, c.layer, c.in, loss);
    CHECK(report.worst <= difference_tolerance);
}
