#include "moe/select/sparsemixer.hpp"

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "select/hand.hpp"
#include "support/tolerance.hpp"

namespace {

struct mixed {
    ids expert;
    std::vector<double> weight;
};

mixed mix(const moe::sparsemixer& selector, const std::vector<double>& z, moe::batch<double> in = {}) {
    moe::reference backend;
    const auto scores = rows_of<double>({z});
    in.x = scores;
    moe::routing<double> s;
    s.batch_of_call = &in;
    s.experts = scores.cols();
    s.logits = s.scores = s.keys = scores;
    mixed m{ids(std::size_t(selector.k)), std::vector<double>(std::size_t(selector.k))};
    const moe::index_t offset[2] = {0, selector.k};
    selector.forward(backend, s, moe::choice{offset, m.expert});
    s.routes = {offset, m.expert, {}, selector.k};
    selector.weigh(backend, s, std::span<double>(m.weight));
    return m;
}

template <class T>
auto layer_with(const moe::sparsemixer& selector) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, selector},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("sparsemixer keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    const auto x = moe::testing::random_matrix<T>(7, 5, 4);
    const std::uint8_t mask[7] = {1, 1, 0, 1, 1, 1, 0};
    moe::batch<T> in;
    in.x = x;
    for (const bool training : {false, true}) {
        in.training = training;
        const auto layer = layer_with<T>({.k = 3, .epsilon = 0.4});
        CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
        CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
        CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
        in.mask = mask;
    }
}

TEMPLATE_LIST_TEST_CASE("sparsemixer's gradient equals central differences where its weight has no factor", "",
                        every_backend) {
    typename TestType::backend backend;
    const auto x = moe::testing::random_matrix<double>(7, 5, 4);
    moe::batch<double> in;
    in.x = x;
    for (const double epsilon : {0.01, 0.3, 2.0}) {
        auto layer = layer_with<double>({.k = 3, .epsilon = epsilon});
        const auto report = moe::testing::check_gradients(backend, layer, in);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
        CHECK(report.nonzero);
    }
}

TEST_CASE("sparsemixer weighs 1 without a rival and shares with rivals within the margin") {
    const mixed clear = mix({}, {3, 1, 2});
    CHECK(clear.expert == ids{0, 2});
    CHECK(clear.weight == std::vector<double>{1, 1});
    // (1 - .99) / 1 = .01 <= .02: both are kept in the first round, the winner alone is gone in the second.
    const mixed close = mix({}, {1, 0.99, 0.2});
    CHECK(close.expert == ids{0, 1});
    CHECK(close.weight[0] == Approx(1 / (1 + std::exp(-0.01))));
    CHECK(close.weight[1] == 1.0);
    const mixed equal = mix({}, {0, 0, 0, 0});
    CHECK(equal.expert == ids{0, 1});
    CHECK(equal.weight[0] == Approx(0.25));
    CHECK(equal.weight[1] == Approx(1.0 / 3));
}

TEST_CASE("sparsemixer measures the margin against the larger of |z| and the best") {
    // Best -1: (-1 + 1.01) / 1.01 < .02 keeps the second, (-1 + 1.05) / 1.05 does not keep the third.
    const mixed m = mix({.k = 1}, {-1.05, -1.0, -1.01});
    CHECK(m.expert == ids{1});
    CHECK(m.weight[0] == Approx(1 / (1 + std::exp(-0.01))));
}

TEST_CASE("while training sparsemixer draws among the kept and scales what is not the best") {
    moe::batch<double> in;
    in.training = true;
    const double shares[2] = {1 / (1 + std::exp(-0.01)), 1 / (1 + std::exp(0.01))};
    double seconds = 0;
    double scaled = 0;
    for (std::uint64_t step = 0; step < 3000; ++step) {
        in.step = step;
        const mixed m = mix({.k = 1}, {1, 0.99, 0.2}, in);
        REQUIRE(m.expert[0] != 2);
        if (m.expert[0] == 0) {
            CHECK(m.weight[0] == Approx(shares[0]));
            continue;
        }
        ++seconds;
        const bool whole = m.weight[0] > 0.3;
        CHECK(m.weight[0] == Approx(whole ? shares[1] : shares[1] * 0.3333));
        scaled += whole ? 0 : 1;
    }
    CHECK(seconds / 3000 == Approx(shares[1]).margin(0.03));
    CHECK(scaled / seconds == Approx(0.75).margin(0.04));
}

TEST_CASE("sparsemixer's training gradient leaves the factor out") {
    moe::reference backend;
    const auto x = moe::testing::random_matrix<double>(30, 5, 4);
    const auto layer = layer_with<double>({.k = 2, .epsilon = 3.0});
    moe::batch<double> in;
    in.x = x;
    in.training = true;
    in.step = 5;
    moe::tape<double> tape;
    moe::matrix<double> y(30, 5), dx(30, 5);
    layer.forward(backend, in, y.view(), tape);
    // Only the weights get a gradient: dL/dw = 1 for every route, nothing through the experts.
    const auto& r = tape.routing();
    moe::adjoint<double> d;
    moe::matrix<double> d_scores(30, 6);
    std::fill(d_scores.data(), d_scores.data() + d_scores.size(), 0.0);
    std::vector<double> d_weight(r.routes.expert.size(), 1.0);
    d.scores = d_scores;
    d.weight = d_weight;
    moe::sparsemixer{.k = 2, .epsilon = 3.0}.backward(backend, r, r, d);
    int scaled = 0;
    for (moe::index_t t = 0; t < 30; ++t) {
        std::vector<double> expected(6, 0.0);
        ids taken;
        for (moe::index_t i = r.routes.begin(t); i < r.routes.end(t); ++i) {
            const moe::index_t id = r.routes.expert[std::size_t(i)];
            // Everything within 300 % is kept: the softmax of what is open and close.
            double best = -1e300;
            for (moe::index_t e = 0; e < 6; ++e) {
                if (std::find(taken.begin(), taken.end(), e) == taken.end()) best = std::max(best, r.scores(t, e));
            }
            std::vector<double> p(6, 0.0);
            double total = 0;
            for (moe::index_t e = 0; e < 6; ++e) {
                const double z = r.scores(t, e);
                if (std::find(taken.begin(), taken.end(), e) != taken.end()) continue;
                if ((best - z) / std::max(std::abs(z), best) > 6.0) continue;
                total += p[std::size_t(e)] = std::exp(z);
            }
            for (double& v : p) v /= total;
            const double w = p[std::size_t(id)];
            scaled += r.routes.weight[std::size_t(i)] < 0.5 * w ? 1 : 0;
            for (std::size_t e = 0; e < 6; ++e) expected[e] += w * ((e == std::size_t(id) ? 1 : 0) - p[e]);
            taken.push_back(id);
        }
        for (moe::index_t e = 0; e < 6; ++e) CHECK(d_scores(t, e) == Approx(expected[std::size_t(e)]).margin(1e-14));
    }
    CHECK(scaled > 5);
}

TEST_CASE("sparsemixer gives a replayed expert that was not kept the weight 0") {
    moe::reference backend;
    const auto scores = rows_of<double>({{5, 1, 2}});
    moe::batch<double> in;
    in.x = scores;
    moe::routing<double> s;
    s.batch_of_call = &in;
    s.experts = 3;
    s.logits = s.scores = s.keys = scores;
    const ids offset = {0, 2};
    const ids expert = {1, 0};
    s.routes = {offset, expert, {}, 2};
    std::vector<double> weight(2, 9);
    moe::sparsemixer{}.weigh(backend, s, std::span<double>(weight));
    CHECK(weight == std::vector<double>{0, 1});
}

TEST_CASE("sparsemixer keeps NaN and infinities in their row") {
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(mix({}, {1, -inf, -inf}).expert == ids{0, -1});
    CHECK(mix({}, {1, -inf, -inf}).weight == std::vector<double>{1, 0});
    CHECK(mix({}, {std::nan(""), 2, 1}).expert == ids{1, 2});
    CHECK(mix({.k = 1}, {inf, 2, 1}).expert == ids{0});
}

TEST_CASE("sparsemixer names the option that is wrong") {
    CHECK_THROWS_WITH((moe::sparsemixer{.k = 0}.check(moe::batch<float>{}, 4, 4)),
                      "moe: sparsemixer.k: wanted at least 1, got 0");
    CHECK_THROWS_AS((moe::sparsemixer{.epsilon = -1}.check(moe::batch<float>{}, 4, 4)), moe::value_error);
}
