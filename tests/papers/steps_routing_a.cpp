// Acceptance tests of papers whose mechanism is a gate, a score step or a key step: first part of the catalogue.
#include "score/step_support.hpp"

namespace {

template <class Gate, class... Steps>
auto decide(const Gate& gate, const moe::batch<double>& in, Steps... steps) {
    return route<moe::reference>(moe::router{gate, steps...}, in);
}

moe::batch<double> batch_of(const moe::matrix<double>& x) {
    moe::batch<double> in;
    in.x = x;
    return in;
}

using ids = std::vector<moe::index_t>;

}  // namespace

TEST_CASE(
    "Rewiring experts on the fly [6]: a trainable logit vector is off at 0, forces at 1e9, and gets the column sums") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 101);
    moe::logit_bias<double> delta(8);
    const auto without = layer_around<double>(moe::softmax{}, moe::top_k{.k = 3});
    const auto with = [&] { return layer_around<double>(delta, moe::softmax{}, moe::top_k{.k = 3}); };
    moe::reference backend;
    const auto y = moe::testing::infer(backend, without, batch_of(x));
    CHECK(moe::testing::same_bits(y, moe::testing::infer(backend, with(), batch_of(x))));

    for (moe::index_t e = 0; e < 8; ++e) delta.bias(0, e) = 4;
    const auto shifted = moe::testing::infer(backend, with(), batch_of(x));
    CHECK(relative_error(shifted.view(), y.view()) < 1e-12);

    // d_delta is the column sums of dZ: shifting all logits changes no softmax, so they add up to 0.
    const auto d_delta = gradient_of<moe::reference>("router.1.bias", with(), batch_of(x));
    double sum = 0, largest = 0;
    for (const double d : d_delta) {
        sum += d;
        largest = std::max(largest, std::abs(d));
    }
    CHECK(std::abs(sum) < 1e-12);
    CHECK(largest > 1e-3);

    delta.bias(0, 5) = 1e9;
    const auto z = moe::testing::random_matrix<double>(20, 8, 102);
    const auto forced = decide(copy_gate<double>{8}, batch_of(z), delta, moe::softmax{}, moe::top_k{.k = 2});
    for (std::size_t t = 0; t < 20; ++t) CHECK(forced.expert[2 * t] == 5);
}

TEST_CASE("ProMoE [8]: prototypes route by cosine, flagged tokens go to the unconditional expert with weight 1") {
    // Experts 0 and 1 are conditional, expert 2 is not: label 1 is pinned to it, label 0 may not use it.
    moe::cosine_gate<double> gate{{.features = 2, .experts = 3}};
    const auto prototypes = rows_of<double>({{1, 0}, {0, 1}, {1, 1}});
    gate.weight.assign(0, prototypes.view());
    const auto x = rows_of<double>({{3, 0}, {-1, 0}, {300, 0}, {3, 0}});
    const ids label{0, 0, 0, 1};
    auto in = batch_of(x);
    in.label = label;
    const auto r = decide(gate, in, moe::expert_mask{rows_of<std::uint8_t>({{1, 1, 0}, {0, 0, 1}})},
                          moe::pinned_experts{rows_of<std::uint8_t>({{0, 0, 0}, {0, 0, 1}})}, moe::top_k{.k = 1});
    CHECK(r.expert == ids{0, 1, 0, 2});
    CHECK(r.weight == std::vector<double>{1, 0, 1, 1});
}

TEST_CASE("Multilingual steering [11]: soft steering adds lambda std, hard steering makes the expert first") {
    const auto z = rows_of<double>({{1, 2, 3, 4}});
    const auto task_expert = rows_of<std::uint8_t>({{1, 0, 0, 0}});
    const auto soft = decide(copy_gate<double>{4}, batch_of(z), moe::steer{task_expert}, moe::top_k{.k = 1});
    check_close(soft.scores, {{1.5590169943749475, 2, 3, 4}});
    const auto many = moe::testing::random_matrix<double>(50, 4, 103, 100);
    const auto hard = decide(copy_gate<double>{4}, batch_of(many),
                             moe::steer{task_expert, moe::steering::force_in, 1e-6}, moe::top_k{.k = 2});
    const auto plain = decide(copy_gate<double>{4}, batch_of(many), moe::top_k{.k = 2});
    for (std::size_t t = 0; t < 50; ++t) {
        CHECK(hard.expert[2 * t] == 0);
        if (plain.expert[2 * t] != 0) CHECK(hard.expert[2 * t + 1] == plain.expert[2 * t]);
        for (moe::index_t e = 1; e < 4; ++e) CHECK(hard.scores(moe::index_t(t), e) == many(moe::index_t(t), e));
    }
    const auto none = decide(copy_gate<double>{4}, batch_of(many), moe::steer{rows_of<std::uint8_t>({{0, 0, 0, 0}})},
                             moe::top_k{.k = 1});
    CHECK(moe::testing::same_bits(none.scores, many));
}

TEST_CASE("LLaVA-DyMoE [19]: unclear tokens stay with old experts, and masked experts get no gradient") {
    const auto s = rows_of<double>({{0.5, 0.2, 0.55}, {0.5, 0.2, 0.7}, {0.5, 0.2, 0.45}});
    auto in = batch_of(s);
    in.training = true;
    const moe::group_guidance guidance{rows_of<std::uint8_t>({{0, 0, 1}})};
    const auto r =
        decide(copy_gate<double>{3}, in, guidance, moe::top_k{.k = 3}, moe::softmax_selected{.temperature = 0.01});
    CHECK(r.expert == ids{0, 1, -1, 2, -1, -1, 0, 1, -1});
    CHECK(r.weight[3] == 1.0);

    // Every token is clearly new: nothing flows into the old experts or their rows of the gate.
    moe::cosine_gate<double> gate{{.features = 2, .experts = 3}};
    const auto rows = rows_of<double>({{-1, 0.1}, {-1, 0.2}, {1, 0.3}});
    gate.weight.assign(0, rows.view());
    const auto x = rows_of<double>({{1, 0.5}, {2, 0.1}});
    auto tokens = batch_of(x);
    tokens.training = true;
    const moe::layer layer{moe::router{gate, guidance, moe::top_k{.k = 2}, moe::softmax_selected{}},
                           moe::swiglu_bank<double>{{.features = 2, .hidden = 3, .experts = 3}}};
    const auto up = gradient_of<moe::reference>("experts.up", layer, tokens);
    REQUIRE(up.size() % 3 == 0);
    const std::size_t each = up.size() / 3;
    CHECK(std::all_of(up.begin(), up.begin() + std::ptrdiff_t(2 * each), [](double d) { return d == 0; }));
    CHECK(std::any_of(up.begin() + std::ptrdiff_t(2 * each), up.end(), [](double d) { return d != 0; }));
}

TEST_CASE("BlockFFN [20]: relu scores over their root mean square, every positive expert") {
    const auto z = rows_of<double>({{2, 0, -1, 1}, {20, 0, -10, 10}, {-1, -2, -3, 0}});
    const auto r = decide(copy_gate<double>{4}, batch_of(z), moe::relu_score{},
                          moe::rms_normalize<double>{{.columns = 4}}, moe::threshold{});
    CHECK(r.offset == ids{0, 2, 4, 4});
    CHECK(r.expert == ids{0, 3, 0, 3});
    CHECK(r.weight[0] == Approx(1.7889).epsilon(1e-4));
    CHECK(r.weight[1] == Approx(0.8944).epsilon(1e-4));
    CHECK(r.weight[2] == Approx(r.weight[0]).epsilon(1e-5));
}

TEST_CASE("SMoE-Dropout [27]: a frozen random gate keeps its bits, and choices for k are prefixes of those for k + 1") {
    moe::layer layer{
        moe::router{moe::frozen_gate{moe::linear_gate<double>{{.features = 5, .experts = 8, .bias = true}}},
                    moe::top_k{.k = 8}, moe::softmax_selected{}},
        moe::swiglu_bank<double>{{.features = 5, .hidden = 3, .experts = 8}}};
    const auto x = moe::testing::random_matrix<double>(6, 5, 104);
    const auto before = layer.router().step<0>().gate.weight;
    moe::sgd optimizer({.learning_rate = 0.1});
    moe::reference backend;
    const auto y = moe::testing::infer(backend, layer, batch_of(x));
    for (int step = 0; step < 5; ++step) {
        auto trained = moe::testing::train_once(backend, layer, batch_of(x));
        CHECK(std::any_of(trained.dx.span().begin(), trained.dx.span().end(), [](double d) { return d != 0; }));
        optimizer.step(layer, trained.gradient);
    }
    const auto after = layer.router().step<0>().gate.weight;
    CHECK(std::equal(before.span().begin(), before.span().end(), after.span().begin()));
    CHECK(!moe::testing::same_bits(y, moe::testing::infer(backend, layer, batch_of(x))));

    ids smaller;
    for (moe::index_t k = 1; k <= 8; ++k) {
        auto in = batch_of(x);
        in.k = k;
        const auto r = route<moe::reference>(layer.router(), in);
        for (moe::index_t t = 0; t < 6 && k > 1; ++t) {
            CHECK(std::equal(smaller.begin() + t * (k - 1), smaller.begin() + (t + 1) * (k - 1),
                             r.expert.begin() + t * k));
        }
        smaller = r.expert;
    }
}

TEST_CASE("VER [77]: noise is off in evaluation; an unselected expert's logit gradient is -p times the mean") {
    // dz_l = p_l (m_l q_l - sum over j of m_j p_j q_j), q the gradient of the loss with respect to the weights.
    const auto z = rows_of<double>({{1, 0.5, -1, 0.2}});
    const moe::layer layer{moe::router{copy_gate<double>{4}, moe::softmax{}, moe::top_k{.k = 2}},
                           moe::constant_bank<double>{{.features = 4, .experts = 4, .outputs = 1}}};
    auto filled = layer;
    for (moe::index_t e = 0; e < 4; ++e) filled.experts().value(e, 0) = 2.0 + e;
    moe::reference backend;
    moe::tape<double> tape;
    moe::matrix<double> y(1, 1), dx(1, 4), dy(1, 1);
    dy(0, 0) = 1;
    auto g = filled.make_gradient();
    filled.forward(backend, batch_of(z), y.view(), tape);
    const auto p = copy_of(tape.routing().scores);
    filled.backward(backend, dy.view(), tape, dx.view(), g);
    const double mean = p(0, 0) * p(0, 0) * 0 + p(0, 0) * 2 + p(0, 1) * 3;
    for (moe::index_t l = 0; l < 4; ++l) {
        const double q = l < 2 ? 2.0 + l : 0.0;
        CHECK(dx(0, l) == Approx(p(0, l) * (q - mean)).epsilon(1e-12));
    }

    const auto noisy = layer_around<double>(moe::learned_noise<double>{{.features = 5, .experts = 8}}, moe::softmax{},
                                            moe::top_k{.k = 2});
    const auto x = moe::testing::random_matrix<double>(6, 5, 105);
    auto in = batch_of(x);
    in.training = true;
    const auto first = moe::testing::infer(backend, noisy, in);
    in.step = 1;
    CHECK(!moe::testing::same_bits(first, moe::testing::infer(backend, noisy, in)));
    in.training = false;
    const auto still = moe::testing::infer(backend, noisy, in);
    in.step = 2;
    CHECK(moe::testing::same_bits(still, moe::testing::infer(backend, noisy, in)));
}

TEST_CASE("Loss-free balancing [87]: a zero bias is plain top-k, and equal choices mean equal weights") {
    const auto z = moe::testing::random_matrix<double>(30, 8, 106);
    const auto with = [&](double bias) {
        moe::selection_bias step(8);
        step.bias[3] = static_cast<float>(bias);
        return decide(copy_gate<double>{8}, batch_of(z), moe::sigmoid{}, step, moe::top_k{.k = 3}, moe::renormalize{});
    };
    const auto plain =
        decide(copy_gate<double>{8}, batch_of(z), moe::sigmoid{}, moe::top_k{.k = 3}, moe::renormalize{});
    CHECK(with(0).expert == plain.expert);
    CHECK(with(0).weight == plain.weight);
    const auto always = with(2), more = with(500);
    CHECK(always.expert == more.expert);
    CHECK(always.expert != plain.expert);
    CHECK(always.weight == more.weight);
}

TEST_CASE("UniPool [110]: NormRouter does not see the length of the logits, masks count as 0 before the norm") {
    const double c0 = 4.01;
    const moe::learned_scale<double> scale{.factor = c0, .scale = 0.5};
    const auto norm_router = [&](const moe::matrix<double>& z, auto... in_front) {
        return decide(copy_gate<double>{z.cols()}, batch_of(z), in_front..., moe::l2_normalize{}, moe::relu_score{},
                      scale, moe::top_k{.k = 1});
    };
    const auto r = norm_router(rows_of<double>({{3, -4}, {30, -40}}));
    CHECK(r.scores(0, 0) == Approx(0.6 * c0 * 0.5).epsilon(1e-8));
    CHECK(r.scores(0, 1) == 0.0);
    CHECK(r.scores(1, 0) == Approx(r.scores(0, 0)).epsilon(1e-8));
    const moe::expert_mask mask{rows_of<std::uint8_t>({{1, 1, 0}})};
    const auto masked = norm_router(rows_of<double>({{3, 4, 100}}), mask);
    CHECK(masked.scores(0, 1) == Approx(0.8 * c0 * 0.5).epsilon(1e-8));
    CHECK(masked.scores(0, 2) == 0.0);

    // The factor keeps the expected size of the chosen scores at 1: 96 experts, k = 1, about 4.01.
    const auto normal = moe::testing::random_matrix<double>(4000, 96, 107);
    const auto unit =
        decide(copy_gate<double>{96}, batch_of(normal), moe::l2_normalize{}, moe::relu_score{}, moe::top_k{.k = 1});
    double mean = 0;
    for (const double w : unit.weight) mean += 1 / w / 4000;
    CHECK(mean == Approx(4.01).epsilon(0.01));
}
