#include "moe/train/router_similarity.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

// Probabilities p and a recorded choice.
double of(const moe::matrix<double>& p, const std::vector<index_t>& expert, index_t k) {
    auto layer = moe::layer{
        moe::router{moe::linear_gate<double>{{.features = p.cols(), .experts = p.cols()}}, moe::top_k{.k = k}},
        moe::ffn_bank<double, moe::silu>{{.features = p.cols(), .hidden = 1, .experts = p.cols()}}};
    auto& w = layer.router().step<0>().weight;
    for (index_t i = 0; i < p.cols(); ++i) {
        for (index_t j = 0; j < p.cols(); ++j) w(0, i, j) = i == j ? 1.0 : 0.0;
    }
    std::vector<index_t> offset;
    for (index_t t = 0; t <= p.rows(); ++t) offset.push_back(t * k);
    moe::reference b;
    moe::tape<double> tape;
    moe::batch<double> in;
    in.x = p;
    in.replay_offset = offset;
    in.replay_expert = expert;
    losses::record(b, layer, in, tape);
    return moe::router_similarity{}(b, tape);
}

}  // namespace

TEST_CASE("the router similarity is right by central differences") {
    losses::check_loss(moe::router_similarity{.coefficient = 0.3});
    losses::check_loss(moe::router_similarity{.from = moe::probabilities::softmax_of_logits}, true);
}

TEST_CASE("the router similarity at balance is 1/E for even and 1 for one-hot probabilities") {
    moe::matrix<double> even(4, 2), one_hot(4, 2), collapsed(4, 2);
    for (index_t t = 0; t < 4; ++t) {
        even(t, 0) = even(t, 1) = 0.5;
        one_hot(t, t % 2) = 1.0;
        collapsed(t, 0) = 1.0;
    }
    CHECK(of(even, {0, 1, 0, 1}, 1) == Approx(0.5));
    CHECK(of(one_hot, {0, 1, 0, 1}, 1) == Approx(1.0));
    CHECK(of(collapsed, {0, 0, 0, 0}, 1) == Approx(2.0));
    moe::matrix<double> three(3, 3);
    for (std::size_t i = 0; i < three.size(); ++i) three.data()[i] = 1.0 / 3;
    CHECK(of(three, {0, 1, 1, 2, 0, 2}, 2) == Approx(1.0));
}

TEST_CASE("the router similarity has the same bits on every number of threads") {
    losses::check_backends(moe::router_similarity{});
}
