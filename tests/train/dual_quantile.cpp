#include "moe/train/dual_quantile.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

struct scored {
    moe::matrix<double> s;
    moe::batch<double> in;
    moe::routing<double> routing;

    explicit scored(moe::matrix<double> m) : s(std::move(m)) {
        in.x = s;
        routing.batch_of_call = &in;
        routing.experts = s.cols();
        routing.scores = s;
    }
    scored(const scored&) = delete;
};

moe::matrix<double> example() {
    moe::matrix<double> s(4, 2);
    const double v[] = {.9, .1, .9, .3, .6, .2, .6, .5};
    std::copy(v, v + 8, s.data());
    return s;
}

// How many tokens choose each expert by s + bias.
std::vector<index_t> loads(const moe::matrix<double>& s, const std::vector<float>& bias, index_t k) {
    std::vector<index_t> n(bias.size(), 0), best(static_cast<std::size_t>(k));
    std::vector<double> key(bias.size());
    for (index_t t = 0; t < s.rows(); ++t) {
        for (std::size_t e = 0; e < key.size(); ++e) key[e] = s(t, index_t(e)) + static_cast<double>(bias[e]);
        moe::best_of_row(key.data(), s.cols(), best.data(), k);
        for (const index_t e : best) ++n[std::size_t(e)];
    }
    return n;
}

}  // namespace

TEST_CASE("dual quantile prices the busy expert of the catalogue's example") {
    scored z(example());
    moe::reference b;
    std::vector<float> bias(2, 0.0f);
    moe::dual_quantile{.rounds = 1, .midpoint = true}.update(b, std::span<float>(bias), z.routing);
    CHECK(bias[0] == Approx(-0.5));
    CHECK(bias[1] == 0.0f);
    CHECK(loads(z.s, bias, 1) == std::vector<index_t>{2, 2});
    CHECK(loads(z.s, {0.0f, 0.0f}, 1) == std::vector<index_t>{4, 0});
    bias = {0.0f, 0.0f};
    moe::dual_quantile{.rounds = 1}.update(b, std::span<float>(bias), z.routing);
    CHECK(bias[0] == Approx(-0.4));
}

TEST_CASE("dual quantile evens out random scores with a common preference") {
    moe::reference b;
    moe::cpu threads{{.threads = 3}};
    for (const bool clip : {true, false}) {
        for (const index_t k : {1, 3}) {
            auto s = moe::testing::random_matrix<double>(400, 8, 5, 0.1);
            for (index_t t = 0; t < 400; ++t) s(t, 2) += 0.2, s(t, 5) -= 0.1;
            scored z(std::move(s));
            std::vector<float> bias(8, 0.0f), again(8, 0.0f);
            const moe::dual_quantile controller{.k = k, .rounds = 12, .clip = clip, .midpoint = true};
            controller.update(b, std::span<float>(bias), z.routing);
            controller.update(threads, std::span<float>(again), z.routing);
            CHECK(bias == again);
            const auto before = loads(z.s, std::vector<float>(8, 0.0f), k), after = loads(z.s, bias, k);
            const auto top = [](const std::vector<index_t>& n) { return *std::max_element(n.begin(), n.end()); };
            CHECK(top(before) > 1.5 * 400 * k / 8);
            CHECK(top(after) <= 1.15 * 400 * k / 8);
            if (clip) CHECK(*std::max_element(bias.begin(), bias.end()) <= 0.0f);
        }
    }
}

TEST_CASE("dual quantile leaves even scores with clear margins alone and ignores masked tokens") {
    moe::reference b;
    moe::matrix<double> s(4, 2);
    s(0, 0) = s(1, 0) = s(2, 1) = s(3, 1) = 1.0;
    scored z(std::move(s));
    std::vector<float> bias(2, 0.0f);
    moe::dual_quantile{}.update(b, std::span<float>(bias), z.routing);
    CHECK(bias == std::vector<float>{0.0f, 0.0f});

    moe::matrix<double> padded(6, 2);
    const double v[] = {.9, .1, 9, -9, .9, .3, .6, .2, 9, -9, .6, .5};
    std::copy(v, v + 12, padded.data());
    const std::vector<std::uint8_t> mask{1, 0, 1, 1, 0, 1}, none(6, 0);
    scored masked(std::move(padded));
    masked.in.mask = mask;
    moe::dual_quantile{.rounds = 1, .midpoint = true}.update(b, std::span<float>(bias), masked.routing);
    CHECK(bias[0] == Approx(-0.5));
    masked.in.mask = none;
    moe::dual_quantile{}.update(b, std::span<float>(bias), masked.routing);
    CHECK(bias[0] == Approx(-0.5));
}

TEST_CASE("dual quantile with K = E or more capacity than tokens changes nothing") {
    scored z(example());
    moe::reference b;
    std::vector<float> bias(2, 0.0f);
    moe::dual_quantile{.k = 2}.update(b, std::span<float>(bias), z.routing);
    CHECK(bias == std::vector<float>{0.0f, 0.0f});
    bias = {0.25f, -0.5f};
    moe::dual_quantile{.k = 2, .clip = false}.update(b, std::span<float>(bias), z.routing);
    CHECK(bias == std::vector<float>{0.25f, -0.5f});
}

TEST_CASE("dual quantile moves a layer's selection bias, never its weights") {
    moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4, .bias = true}}, moe::softmax{},
                                 moe::selection_bias{4}, moe::top_k{.k = 1}},
                     moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    layer.router().step<0>().bias(0, 2) = 1.0f;
    const auto x = moe::testing::random_matrix<float>(256, 4, 1);
    moe::reference b;
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    moe::matrix<float> y(256, 4);
    layer.forward(b, in, y.view(), tape);
    CHECK(tape.plan().count(2) > 150);
    moe::dual_quantile{.midpoint = true}.update(b, moe::get<moe::selection_bias>(layer).bias, tape.routing());
    layer.forward(b, in, y.view(), tape);
    for (index_t e = 0; e < 4; ++e) CHECK(tape.plan().count(e) <= 80);
    for (index_t t = 0; t < 256; ++t) {
        const std::size_t slot = std::size_t(t);
        CHECK(tape.routing().routes.weight[slot] == tape.routing().scores(t, tape.routing().routes.expert[slot]));
    }
}

TEST_CASE("dual quantile names wrong options") {
    scored z(example());
    moe::reference b;
    std::vector<float> bias(3, 0.0f);
    const auto update = [&](const moe::dual_quantile& c) { c.update(b, std::span<float>(bias), z.routing); };
    CHECK_THROWS_WITH(update({.k = 0}), "moe: dual_quantile.k: wanted at least 1, got 0");
    CHECK_THROWS_WITH(update({.rounds = 0}), "moe: dual_quantile.rounds: wanted at least 1, got 0");
    CHECK_THROWS_WITH(update({}), "moe: dual_quantile: bias: wanted [2], got [3]");
}
