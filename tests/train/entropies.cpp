// token_entropy, mean_entropy, tsallis_entropy: three losses over the same probabilities.
#include "moe/train/mean_entropy.hpp"
#include "moe/train/token_entropy.hpp"
#include "moe/train/tsallis_entropy.hpp"
#include "train/losses.hpp"

#include <functional>

using losses::index_t;

namespace {

constexpr auto logits = moe::probabilities::softmax_of_logits;

// Scores are the rows of p themselves: an identity gate.
double of_rows(const moe::matrix<double>& p, const std::function<double(moe::reference&, moe::tape<double>&)>& loss,
               std::vector<index_t> label = {}) {
    auto layer = moe::layer{
        moe::router{moe::linear_gate<double>{{.features = p.cols(), .experts = p.cols()}}, moe::top_k{.k = 1}},
        moe::ffn_bank<double, moe::silu>{{.features = p.cols(), .hidden = 1, .experts = p.cols()}}};
    auto& w = layer.router().step<0>().weight;
    for (index_t i = 0; i < p.cols(); ++i) {
        for (index_t j = 0; j < p.cols(); ++j) w(0, i, j) = i == j ? 1.0 : 0.0;
    }
    moe::reference b;
    moe::tape<double> tape;
    moe::batch<double> in;
    in.x = p;
    in.label = label;
    losses::record(b, layer, in, tape);
    return loss(b, tape);
}

moe::matrix<double> row(std::vector<double> v) {
    moe::matrix<double> m(1, index_t(v.size()));
    std::copy(v.begin(), v.end(), m.data());
    return m;
}

}  // namespace

TEST_CASE("the entropies are right by central differences") {
    losses::check_loss(moe::token_entropy{.coefficient = 0.3});
    losses::check_loss(moe::token_entropy{.coefficient = -1.0, .from = logits}, true);
    losses::check_loss(moe::token_entropy{.from = moe::probabilities::normalized_scores});
    losses::check_loss(moe::mean_entropy{.coefficient = 0.3});
    losses::check_loss(moe::mean_entropy{.from = logits, .at_least = 3.0}, true);
    losses::check_loss(moe::tsallis_entropy{.coefficient = 0.3});
    losses::check_loss(moe::tsallis_entropy{.q = 2.0, .normalised = false, .from = logits}, true);
    losses::check_loss(moe::tsallis_entropy{.q = 1.0});
    losses::check_loss(moe::tsallis_entropy{.q = 0.5, .from = logits});
}

TEST_CASE("the entropies have their stated values at balance") {
    losses::check_at_balance(moe::token_entropy{}, std::log(4.0));
    losses::check_at_balance(moe::mean_entropy{}, -std::log(4.0));
    losses::check_at_balance(moe::mean_entropy{.at_least = std::log(3.0)}, 0.0);
    losses::check_at_balance(moe::tsallis_entropy{}, 1.0);
    losses::check_at_balance(moe::tsallis_entropy{.q = 2.0, .normalised = false}, 0.75);
}

TEST_CASE("the entropies have the same bits on every number of threads") {
    losses::check_backends(moe::token_entropy{});
    losses::check_backends(moe::mean_entropy{.from = logits});
    losses::check_backends(moe::tsallis_entropy{});
}

TEST_CASE("entropies of hand-made rows") {
    const auto token = [](auto& b, auto& t) { return moe::token_entropy{}(b, t); };
    CHECK(of_rows(row({.7, .3}), token) == Approx(0.610864).epsilon(1e-6));
    CHECK(of_rows(row({1, 0, 0}), token) == 0.0);
    const auto mean = [](auto& b, auto& t) { return moe::mean_entropy{.at_least = std::log(2.0)}(b, t); };
    CHECK(of_rows(row({.9, .1}), mean) == Approx(0.368064).epsilon(1e-6));
    CHECK(of_rows(row({.5, .5}), mean) == Approx(0.0).margin(1e-15));
    const auto two = [](auto& b, auto& t) { return moe::tsallis_entropy{.q = 2.0, .normalised = false}(b, t); };
    CHECK(of_rows(row({.5, .3, .2}), two) == Approx(0.62));
    const auto dyn = [](auto& b, auto& t) { return moe::tsallis_entropy{}(b, t); };
    CHECK(of_rows(row({.6, .3, .1}), dyn) == Approx(0.812).epsilon(2e-3));
    CHECK(of_rows(row({.5, .3, .2}), dyn) == Approx(0.935).epsilon(2e-3));
    CHECK(of_rows(row({1, 0, 0}), dyn) == Approx(0.0).margin(1e-12));
}

TEST_CASE("probabilities of exactly 0 get no infinite gradient") {
    moe::reference b;
    moe::tape<double> tape;
    auto layer = losses::layer_of<double>(4, 2);
    auto x = moe::testing::random_matrix<double>(3, 5, 21);
    for (index_t d = 0; d < 5; ++d) x(1, d) = 1e4;
    moe::batch<double> in;
    in.x = x;
    for (const auto from : {moe::probabilities::scores, logits}) {
        losses::record(b, layer, in, tape);
        CHECK(std::isfinite(moe::token_entropy{.from = from}(b, tape)));
        CHECK(std::isfinite(moe::mean_entropy{.from = from}(b, tape)));
        CHECK(std::isfinite(moe::tsallis_entropy{.q = 0.5, .from = from}(b, tape)));
        CHECK(std::isfinite(losses::largest(tape.d.scores)));
        CHECK(std::isfinite(losses::largest(tape.d.logits)));
    }
}

TEST_CASE("entropies of one label do not change with the tokens of another") {
    moe::matrix<double> p(3, 2);
    p(0, 0) = .9, p(0, 1) = .1, p(1, 0) = .2, p(1, 1) = .8, p(2, 0) = .7, p(2, 1) = .3;
    const std::vector<index_t> label{4, 5, 4};
    const auto token = [](auto& b, auto& t) { return moe::token_entropy{.label = 4}(b, t); };
    const auto mean = [](auto& b, auto& t) { return moe::mean_entropy{.label = 4}(b, t); };
    const double first = of_rows(p, token, label), second = of_rows(p, mean, label);
    p(1, 0) = .5, p(1, 1) = .5;
    CHECK(of_rows(p, token, label) == first);
    CHECK(of_rows(p, mean, label) == second);
    CHECK(second == Approx(.8 * std::log(.8) + .2 * std::log(.2)));
    CHECK(of_rows(p, [](auto& b, auto& t) { return moe::token_entropy{.label = 6}(b, t); }, label) == 0.0);
}

TEST_CASE("the entropies name wrong options") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto throws = [](auto loss, const char* text) {
        moe::reference b;
        moe::tape<double> tape;
        const auto x = moe::testing::random_matrix<double>(3, 5, 3);
        moe::batch<double> in;
        in.x = x;
        losses::record(b, losses::layer_of<double>(4, 2), in, tape);
        CHECK_THROWS_WITH(loss(b, tape), text);
    };
    throws(moe::token_entropy{.coefficient = nan}, "moe: token_entropy.coefficient: wanted a finite number, got nan");
    throws(moe::token_entropy{.label = 1}, "moe: token_entropy.label: wanted batch.label [T], got a batch without labels");
    throws(moe::mean_entropy{.at_least = nan}, "moe: mean_entropy.at_least: wanted a finite number, got nan");
    throws(moe::tsallis_entropy{.q = 0.0}, "moe: tsallis_entropy.q: wanted above 0, got 0.000000");
}
