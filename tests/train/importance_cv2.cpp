#include "moe/train/importance_cv2.hpp"

#include "train/losses.hpp"

using losses::index_t;

TEST_CASE("the importance loss is right by central differences, from each kind of probabilities") {
    losses::check_loss(moe::importance_cv2{.coefficient = 0.3});
    losses::check_loss(moe::importance_cv2{.from = moe::probabilities::softmax_of_logits}, true);
    losses::check_loss(moe::importance_cv2{.from = moe::probabilities::normalized_scores});
    losses::check_loss(moe::importance_cv2{.from = moe::probabilities::route_weights});
}

TEST_CASE("the importance loss is 0 at balance and its gradient there is no NaN") {
    losses::check_at_balance(moe::importance_cv2{}, 0.0);
    losses::check_at_balance(moe::importance_cv2{.from = moe::probabilities::route_weights}, 0.0);
}

TEST_CASE("the importance loss has the same bits on every number of threads") {
    losses::check_backends(moe::importance_cv2{.from = moe::probabilities::softmax_of_logits});
    losses::check_backends(moe::importance_cv2{.from = moe::probabilities::route_weights});
}

TEST_CASE("the squared coefficient of variation is that of the catalogue's examples") {
    std::vector<double> v{2, 0};
    CHECK(moe::detail::squared_cv(v) == Approx(2.0));
    v = {1.1, 0.9};
    CHECK(moe::detail::squared_cv(v) == Approx(0.02));
    v = {3, 3, 3};
    CHECK(moe::detail::squared_cv(v) == 0.0);
    CHECK(v == std::vector<double>{0, 0, 0});
    v = {0, 0};
    CHECK(moe::detail::squared_cv(v) == 0.0);
    v = {7};
    CHECK(moe::detail::squared_cv(v) == 0.0);
    CHECK(v[0] == 0.0);
    v = {4, 0, 0, 0};
    CHECK(moe::detail::squared_cv(v) == Approx(4.0));
}

TEST_CASE("the importance loss counts only tokens of its label") {
    moe::reference b;
    auto layer = losses::layer_of<double>(4, 2);
    const auto x = moe::testing::random_matrix<double>(6, 5, 31);
    const std::vector<index_t> label{0, 1, 1, 0, 2, 1};
    moe::batch<double> in;
    in.x = x;
    in.label = label;
    const moe::importance_cv2 loss{.label = 1};
    const auto report = moe::testing::check_gradients(b, layer, in, loss);
    CHECK(report.worst <= difference_tolerance);
    moe::tape<double> tape;
    losses::record(b, layer, in, tape);
    const double value = loss(b, tape);
    CHECK(losses::largest(tape.d.scores.middle_rows(0, 1)) == 0.0);
    CHECK(losses::largest(tape.d.scores.middle_rows(1, 1)) > 0.0);
    in.label = {};
    losses::record(b, layer, in, tape);
    CHECK(moe::importance_cv2{}(b, tape) != Approx(value));
    CHECK_THROWS_WITH(loss(b, tape), "moe: importance_cv2.label: wanted batch.label [T], got a batch without labels");
}
