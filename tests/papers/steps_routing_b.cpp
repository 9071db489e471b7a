// Acceptance tests of papers whose mechanism is a gate, a score step or a key step: second part of the catalogue, and
// mechanisms of published routers.
#include "score/step_support.hpp"

namespace {

template <class Gate, class... Steps>
auto choose(const Gate& gate, const moe::batch<double>& in, Steps... steps) {
    return route<moe::reference>(moe::router{gate, steps...}, in);
}

moe::batch<double> tokens_of(const moe::matrix<double>& x) {
    moe::batch<double> in;
    in.x = x;
    return in;
}

using experts_of = std::vector<moe::index_t>;

// PHATGOOSE's gate: both sides standardised, divided by sqrt(d).
auto phatgoose_gate(const moe::matrix<double>& vectors) {
    const moe::index_t d = vectors.cols();
    const auto standard =
        choose(copy_gate<double>{d}, tokens_of(vectors), moe::standardize{}, moe::top_k{.k = 1}).scores;
    moe::linear_gate<double> gate{{.features = d, .experts = vectors.rows()}};
    gate.weight.assign(0, standard.view());
    return moe::features_through{moe::standardize{}, gate};
}

const auto experts_weighed = [](std::initializer_list<double> factors) {
    moe::per_expert_scale<double> step(moe::index_t(factors.size()));
    moe::index_t e = 0;
    for (const double f : factors) step.scale(0, e++) = f;
    return step;
};

}  // namespace

TEST_CASE(
    "PHATGOOSE [150]: standardised gates route by sqrt(d)-scaled products and ignore scale and shift of a token") {
    const auto gate = phatgoose_gate(rows_of<double>({{1, 2, 3, 4}, {-1, -2, -3, -4}, {5, 5, 5, 5}}));
    const auto x = rows_of<double>({{1, 2, 3, 4}, {7, 17, 27, 37}, {3, 3, 3, 3}});
    const auto r =
        choose(gate, tokens_of(x), moe::temperature{2}, moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{1e-6});
    const double logits[3] = {r.logits(0, 0) / 2, r.logits(0, 1) / 2, r.logits(0, 2) / 2};
    CHECK(logits[0] == Approx(2).margin(1e-4));
    CHECK(logits[1] == Approx(-2).margin(1e-4));
    CHECK(logits[2] == Approx(0).margin(1e-4));
    CHECK(r.expert == experts_of{0, 2, 0, 2, 0, 1});
    CHECK(r.weight[0] == Approx(0.880795).margin(1e-5));
    CHECK(r.weight[1] == Approx(0.119205).margin(1e-5));
    CHECK(r.weight[2] == Approx(r.weight[0]).margin(1e-3));
}

TEST_CASE("Glider [32]: a global score per sequence is added to the local logits") {
    const auto local = rows_of<double>({{2, -2, 0}});
    const auto global = rows_of<double>({{0, 0, 0.5}});
    auto in = tokens_of(local);
    in.side = global;
    const auto r = choose(copy_gate<double>{3}, in, moe::side_scores{3}, moe::softmax{}, moe::top_k{.k = 2},
                          moe::renormalize{1e-6});
    CHECK(r.scores(0, 0) == Approx(0.615443).margin(1e-6));
    CHECK(r.scores(0, 1) == Approx(0.011272).margin(1e-6));
    CHECK(r.scores(0, 2) == Approx(0.373285).margin(1e-6));

    const auto many = moe::testing::random_matrix<double>(20, 3, 111);
    moe::matrix<double> same(20, 3);
    for (moe::index_t t = 0; t < 20; ++t) {
        same(t, 1) = 0.9;
        same(t, 2) = 0.4;
    }
    auto sequence = tokens_of(many);
    sequence.side = same;
    const auto global_only = choose(copy_gate<double>{3}, sequence, moe::side_scores{1000}, moe::top_k{.k = 2});
    for (std::size_t t = 0; t < 20; ++t) CHECK((global_only.expert[2 * t] == 1 && global_only.expert[2 * t + 1] == 2));
    const auto off = choose(copy_gate<double>{3}, sequence, moe::side_scores{0}, moe::top_k{.k = 2});
    CHECK(moe::testing::same_bits(off.scores, many));
}

TEST_CASE("Poly [139]: a task without training uses all adapters alike, a trained one its own mixture") {
    moe::label_table_gate<double> gate{{.features = 1, .labels = 2, .experts = 4}};
    gate.table(1, 2) = 50;
    for (const moe::index_t e : {0, 1, 3}) gate.table(1, e) = -50;
    const moe::matrix<double> x(2, 1);
    const experts_of label{0, 1};
    auto in = tokens_of(x);
    in.label = label;
    const auto r = choose(gate, in, moe::sigmoid{}, moe::dense{}, moe::renormalize{1e-8});
    for (std::size_t e = 0; e < 4; ++e) {
        CHECK(r.weight[e] == Approx(0.25).margin(1e-7));
        CHECK(r.weight[4 + e] == Approx(e == 2 ? 1.0 : 0.0).margin(1e-7));
    }
}

TEST_CASE("ReXMoE [12]: with the own bank protected and no other candidate, the layer is the plain one") {
    const auto z = moe::testing::random_matrix<double>(10, 8, 112);
    moe::matrix<double> own(10, 4);
    for (moe::index_t t = 0; t < 10; ++t) std::copy(z.view().row(t), z.view().row(t) + 4, &own(t, 0));
    auto in = tokens_of(z);
    in.training = true;
    const auto masked =
        choose(copy_gate<double>{8}, in, moe::softmax{}, moe::random_expert_mask{.keep = 4, .protect = 4},
               moe::top_k{.k = 2}, moe::renormalize{});
    const auto plain =
        choose(copy_gate<double>{4}, tokens_of(own), moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{});
    CHECK(masked.expert == plain.expert);
    for (std::size_t i = 0; i < plain.weight.size(); ++i)
        CHECK(masked.weight[i] == Approx(plain.weight[i]).epsilon(1e-12));
    in.training = false;
    const auto all = choose(copy_gate<double>{8}, in, moe::softmax{}, moe::random_expert_mask{.keep = 4, .protect = 4},
                            moe::top_k{.k = 2});
    CHECK(std::any_of(all.expert.begin(), all.expert.end(), [](moe::index_t e) { return e >= 4; }));
}

TEST_CASE("Graph of tokens [158]: related tokens share their routing, the identity leaves it alone") {
    const auto p = rows_of<double>({{0.9, 0.1}, {0.2, 0.8}});
    const auto mix = [&](const moe::matrix<double>& a, auto step) {
        auto in = tokens_of(p);
        in.side = a;
        return choose(copy_gate<double>{2}, in, step, moe::top_k{.k = 1});
    };
    check_close(mix(rows_of<double>({{0.5, 0.5}, {0, 1}}), moe::token_mix<>{}).scores, {{0.55, 0.45}, {0.2, 0.8}});
    CHECK(moe::testing::same_bits(mix(rows_of<double>({{1, 0}, {0, 1}}), moe::token_mix<>{}).scores, p));
    const auto even = mix(rows_of<double>({{0.5, 0.5}, {0.5, 0.5}}), moe::token_mix<>{});
    CHECK(even.expert == experts_of{0, 0});
    CHECK(even.scores(0, 0) == even.scores(1, 0));
    auto changed = rows_of<double>({{0.9, 0.1}, {0.7, 0.3}});
    auto in = tokens_of(changed);
    const auto a = rows_of<double>({{0.5, 0.5}, {0.5, 0.5}});
    in.side = a;
    const auto causal = choose(copy_gate<double>{2}, in, moe::token_mix<true>{}, moe::top_k{.k = 1});
    const auto before = mix(a, moe::token_mix<true>{});
    CHECK(causal.scores(0, 0) == before.scores(0, 0));
    CHECK(causal.scores(1, 0) != before.scores(1, 0));
}

TEST_CASE("HoME [46]: weights sum to 1 over the visible experts, and an invisible expert gets no gradient") {
    const moe::expert_mask visible{rows_of<std::uint8_t>({{1, 1, 0, 0, 1, 1, 1, 0}})};
    const auto layer = layer_around<double>(visible, moe::softmax{}, moe::dense{});
    const auto x = moe::testing::random_matrix<double>(6, 5, 113);
    const auto r = route<moe::reference>(layer.router(), tokens_of(x));
    for (moe::index_t t = 0; t < 6; ++t) {
        double sum = 0;
        for (moe::index_t e = 0; e < 8; ++e) sum += r.scores(t, e);
        CHECK(sum == Approx(1));
        CHECK((r.scores(t, 2) == 0 && r.scores(t, 3) == 0 && r.scores(t, 7) == 0));
    }
    const auto gate = gradient_of<moe::reference>("router.0.weight", layer, tokens_of(x));
    moe::panels<double> d_gate(1, 8, 5);
    std::copy(gate.begin(), gate.end(), d_gate.span().begin());
    const auto up = gradient_of<moe::reference>("experts.up", layer, tokens_of(x));
    moe::panels<double> d_up(8, 3, 5);
    std::copy(up.begin(), up.end(), d_up.span().begin());
    for (const moe::index_t e : {2, 3, 7}) {
        for (moe::index_t k = 0; k < 5; ++k) CHECK((d_gate(0, e, k) == 0 && d_up(e, 0, k) == 0));
    }
    CHECK(d_gate(0, 0, 0) != 0);
    CHECK(d_up(0, 0, 0) != 0);
}

TEST_CASE("T2MIR [1]: a tanh gate without biases; its noise starts at softplus(0) + 0.01 and is off in evaluation") {
    moe::mlp_gate<double> gate{{.features = 2, .hidden = 3, .experts = 3, .seed = 5}};
    const auto x = moe::testing::random_matrix<double>(4, 2, 114);
    const auto r = choose(gate, tokens_of(x), moe::learned_noise<double>{{.features = 2, .experts = 3, .floor = 0.01}},
                          moe::top_k{.k = 2}, moe::softmax_selected{});
    for (moe::index_t t = 0; t < 4; ++t) {
        for (moe::index_t e = 0; e < 3; ++e) {
            double z = 0;
            for (moe::index_t w = 0; w < 3; ++w) {
                const double h = x(t, 0) * gate.weight_in(0, w, 0) + x(t, 1) * gate.weight_in(0, w, 1);
                z += std::tanh(h) * gate.weight_out(0, e, w);
            }
            CHECK(r.logits(t, e) == Approx(z).epsilon(1e-12));
        }
    }
    CHECK(moe::testing::same_bits(r.scores, r.logits));
    moe::reference backend;
    moe::matrix<double> sigma(4, 3);
    moe::learned_noise<double>{{.features = 2, .experts = 3, .floor = 0.01}}.deviation(backend, x.view(), sigma.view());
    for (const double s : sigma.span()) CHECK(s == Approx(std::log(2.0) + 0.01));
}

TEST_CASE("RICE [49]: chosen experts' weights are multiplied before the renormalisation") {
    const auto z = rows_of<double>({{std::log(0.6), std::log(0.4)}});
    const auto r = choose(copy_gate<double>{2}, tokens_of(z), moe::softmax{}, moe::top_k{.k = 2},
                          experts_weighed({1, 2}), moe::renormalize{});
    CHECK(r.weight[0] == Approx(3.0 / 7));
    CHECK(r.weight[1] == Approx(4.0 / 7));
    const auto many = moe::testing::random_matrix<double>(30, 4, 115);
    const auto steered = choose(copy_gate<double>{4}, tokens_of(many), moe::softmax{}, moe::top_k{.k = 2},
                                experts_weighed({1, 1, 64, 1}), moe::renormalize{});
    const auto plain =
        choose(copy_gate<double>{4}, tokens_of(many), moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{});
    CHECK(steered.expert == plain.expert);
    for (std::size_t t = 0; t < 30; ++t) {
        const bool chosen = plain.expert[2 * t] == 2 || plain.expert[2 * t + 1] == 2;
        CHECK((steered.weight[2 * t] == plain.weight[2 * t]) == !chosen);
    }
}

TEST_CASE("MoTE [65]: an expert is switched off without or with refill") {
    const auto z = rows_of<double>({{std::log(0.5), std::log(0.3), std::log(0.2)}});
    const auto in = tokens_of(z);
    const auto no_refill = choose(copy_gate<double>{3}, in, moe::softmax{}, moe::top_k{.k = 2},
                                  experts_weighed({0, 1, 1}), moe::renormalize{});
    CHECK(no_refill.expert == experts_of{0, 1});
    CHECK(no_refill.weight[0] == 0.0);
    CHECK(no_refill.weight[1] == 1.0);
    const auto refill =
        choose(copy_gate<double>{3}, in, moe::softmax{}, moe::expert_mask{rows_of<std::uint8_t>({{0, 1, 1}})},
               moe::top_k{.k = 2}, moe::renormalize{});
    CHECK(refill.expert == experts_of{1, 2});
    CHECK(refill.weight[0] == Approx(0.6));
    CHECK(refill.weight[1] == Approx(0.4));
    const auto base = choose(copy_gate<double>{3}, in, moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{});
    const auto gains = choose(copy_gate<double>{3}, in, moe::softmax{}, moe::top_k{.k = 2}, experts_weighed({1, 1, 1}),
                              moe::renormalize{});
    CHECK(base.weight == gains.weight);
}

TEST_CASE("RouterRetriever [30]: the mean over an expert's prototypes and the largest of them choose differently") {
    // Similarities of the query: expert 0 has 0.9 and 0.1, expert 1 has 0.6 twice.
    const auto similarities = rows_of<double>({{0.9, 0.1, 0.6, 0.6}});
    const experts_of owner{0, 0, 1, 1};
    const auto by = [&](moe::pooling how) {
        const moe::pooled_gate gate{copy_gate<double>{4}, {.experts = 2, .expert_of_column = owner, .how = how}};
        return choose(gate, tokens_of(similarities), moe::top_k{.k = 1}).expert;
    };
    CHECK(by(moe::pooling::mean) == experts_of{1});
    CHECK(by(moe::pooling::max) == experts_of{0});
    const auto doubled = rows_of<double>({{0.9, 0.1, 0.9, 0.1, 0.6, 0.6}});
    const experts_of doubled_owner{0, 0, 0, 0, 1, 1};
    const moe::pooled_gate gate{copy_gate<double>{6}, {.experts = 3, .expert_of_column = doubled_owner}};
    const auto r = choose(gate, tokens_of(doubled), moe::top_k{.k = 3});
    CHECK(r.logits(0, 0) == Approx(0.5));
    CHECK(r.expert == experts_of{1, 0, -1});
}

TEST_CASE("Composition of Experts [21]: experts get the summed probabilities of their categories") {
    const auto c = rows_of<double>({{std::log(0.4), std::log(0.35), std::log(0.25)}});
    const experts_of map{0, 1, 1};
    const moe::pooled_gate gate{copy_gate<double>{3},
                                {.experts = 2, .expert_of_column = map, .how = moe::pooling::log_sum_exp}};
    const auto r = choose(gate, tokens_of(c), moe::softmax{}, moe::top_k{.k = 1});
    check_close(r.scores, {{0.4, 0.6}});
    CHECK(r.expert == experts_of{1});
}

TEST_CASE("DeepSeek-V3 routing: bias and group limit act in the choice, weights are unbiased scores") {
    const auto z = moe::testing::random_matrix<double>(40, 16, 116);
    moe::selection_bias bias(16);
    for (std::size_t e = 0; e < 16; ++e) bias.bias[e] = e % 3 == 0 ? -2.0f : 0.25f;
    const auto r = choose(copy_gate<double>{16}, tokens_of(z), moe::sigmoid{}, bias,
                          moe::group_limit{.groups = 4, .keep = 2, .best = 2}, moe::top_k{.k = 4},
                          moe::renormalize{1e-20}, moe::scale{2.5});
    for (moe::index_t t = 0; t < 40; ++t) {
        double sum = 0, total = 0;
        std::vector<bool> group(4, false);
        for (moe::index_t i = 4 * t; i < 4 * t + 4; ++i) {
            const moe::index_t e = r.expert[std::size_t(i)];
            REQUIRE(e >= 0);
            group[std::size_t(e / 4)] = true;
            sum += r.scores(t, e);
            total += r.weight[std::size_t(i)];
        }
        CHECK(std::count(group.begin(), group.end(), true) <= 2);
        CHECK(total == Approx(2.5));
        const moe::index_t first = r.expert[std::size_t(4 * t)];
        CHECK(r.weight[std::size_t(4 * t)] == Approx(2.5 * r.scores(t, first) / sum));
    }
}

TEST_CASE("Gemma 4 routing: the gate sees normalised features, the experts x") {
    moe::rms_normalize<double> norm{{.columns = 4}};
    for (moe::index_t k = 0; k < 4; ++k) norm.gain(0, k) = 1 + k;
    moe::linear_gate<double> linear{{.features = 4, .experts = 4}};
    const auto eye = rows_of<double>({{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}});
    linear.weight.assign(0, eye.view());
    const moe::features_through gate{norm, moe::features_through{moe::temperature{2}, linear}};
    const auto x = rows_of<double>({{2, 0, 0, 1}});
    const auto r = choose(gate, tokens_of(x), moe::softmax{}, moe::top_k{.k = 2});
    check_close(r.logits, {{1.7888536664585082 / 2, 0, 0, 4 * 0.8944268332292541 / 2}});
}

TEST_CASE("Switch input jitter: the router sees jittered features in training, the experts clean ones") {
    const auto x = moe::testing::random_matrix<double>(6, 4, 117);
    auto in = tokens_of(x);
    const moe::features_through gate{moe::jitter{0.01}, copy_gate<double>{4}};
    const auto clean = choose(gate, in, moe::top_k{.k = 1});
    CHECK(moe::testing::same_bits(clean.logits, x));
    in.training = true;
    const auto jittered = choose(gate, in, moe::top_k{.k = 1});
    CHECK(!moe::testing::same_bits(jittered.logits, x));
    for (moe::index_t t = 0; t < 6; ++t) {
        for (moe::index_t e = 0; e < 4; ++e) CHECK(std::abs(jittered.logits(t, e) / x(t, e) - 1) <= 0.01 * (1 + 1e-12));
    }
    // With unit weights and one constant expert per column the output depends on x through the choice alone.
    const moe::layer layer{moe::router{gate, moe::top_k{.k = 4}, moe::constant_weights{1.0}},
                           moe::identity_bank<double>{{.features = 4, .experts = 4}}};
    moe::reference backend;
    const auto y = moe::testing::infer(backend, layer, in);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(y.data()[i] == Approx(4 * x.data()[i]).epsilon(1e-12));
}

TEST_CASE("X-MoE: a projection, cosines and a learned temperature with the floor of 0.01") {
    const moe::cosine_gate<double> gate{{.features = 6, .experts = 8, .projection = 3, .seed = 3}};
    moe::learned_temperature<double> temperature{{.initial = 0.5, .smallest = 0.01}};
    const auto x = moe::testing::random_matrix<double>(10, 6, 118);
    const auto r = choose(gate, tokens_of(x), temperature, moe::softmax{}, moe::top_k{.k = 1});
    for (const double z : r.logits.span()) CHECK(std::abs(z) <= 1 + 1e-12);
    temperature.log_scale = 100;
    const auto cold = choose(gate, tokens_of(x), temperature, moe::top_k{.k = 1});
    for (std::size_t i = 0; i < r.logits.size(); ++i) CHECK(cold.scores.data()[i] == Approx(100 * r.logits.data()[i]));
}

TEST_CASE("ERNIE 4.5 VL: text and image tokens have experts of their own") {
    const auto z = moe::testing::random_matrix<double>(40, 8, 119);
    experts_of label(40);
    for (std::size_t t = 0; t < 40; ++t) label[t] = moe::index_t(t % 2);
    auto in = tokens_of(z);
    in.label = label;
    const moe::expert_mask modality{rows_of<std::uint8_t>({{1, 1, 1, 1, 0, 0, 0, 0}, {0, 0, 0, 0, 1, 1, 1, 1}})};
    const auto r = choose(copy_gate<double>{8}, in, modality, moe::softmax{}, moe::top_k{.k = 3}, moe::renormalize{});
    for (std::size_t i = 0; i < r.expert.size(); ++i) CHECK((r.expert[i] >= 4) == (label[i / 3] == 1));
}
