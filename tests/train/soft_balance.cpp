#include "moe/train/soft_balance.hpp"

#include "train/losses.hpp"

TEST_CASE("the soft balance is right by central differences, with the gradient through both factors") {
    losses::check_loss(moe::soft_balance{.coefficient = 0.3});
    losses::check_loss(moe::soft_balance{.from = moe::probabilities::softmax_of_logits}, true);
    moe::reference b;
    auto layer = moe::layer{moe::router{moe::linear_gate<double>{{.features = 5, .experts = 4, .seed = 11}}, moe::softmax{},
                                        moe::top_p{.p = 0.6}, moe::renormalize{}},
                            moe::ffn_bank<double, moe::silu>{{.features = 5, .hidden = 3, .experts = 4}}};
    const auto x = moe::testing::random_matrix<double>(6, 5, 4);
    moe::batch<double> in;
    in.x = x;
    const auto report = moe::testing::check_gradients(b, layer, in, moe::soft_balance{});
    CHECK(report.worst <= difference_tolerance);
}

TEST_CASE("the soft balance is 1 at balance where weights sum to 1, and the mean weight sum otherwise") {
    moe::reference b;
    moe::tape<double> tape;
    const losses::even_batch<double> even(6, 4, 2);
    const auto renormalized =
        moe::layer{moe::router{moe::linear_gate<double>{{.features = 5, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2},
                               moe::renormalize{}},
                   moe::ffn_bank<double, moe::silu>{{.features = 5, .hidden = 3, .experts = 4}}};
    losses::record(b, renormalized, even.in, tape);
    CHECK(moe::soft_balance{}(b, tape) == Approx(1.0));
    losses::record(b, losses::layer_of<double>(4, 2), even.in, tape);
    CHECK(moe::soft_balance{}(b, tape) == Approx(0.5));
}

TEST_CASE("the soft balance has the same bits on every number of threads") {
    losses::check_backends(moe::soft_balance{});
}
