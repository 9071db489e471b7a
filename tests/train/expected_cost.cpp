#include "moe/train/expected_cost.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

// Costs 2, 3, 4 ... of as many experts as the tape has.
auto rising(moe::probabilities from = moe::probabilities::scores, double coefficient = 1.0) {
    return [=](auto& b, auto& tape) {
        std::vector<double> cost(std::size_t(tape.routing().experts));
        for (std::size_t e = 0; e < cost.size(); ++e) cost[e] = 2.0 + double(e);
        return moe::expected_cost{.coefficient = coefficient, .from = from, .cost = cost}(b, tape);
    };
}

}  // namespace

TEST_CASE("the expected cost is right by central differences") {
    losses::check_loss(rising(moe::probabilities::scores, 0.3));
    losses::check_loss(rising(moe::probabilities::softmax_of_logits, -1.0), true);
    losses::check_loss(rising(moe::probabilities::normalized_scores));
}

TEST_CASE("the expected cost of even probabilities is the mean of the costs") {
    losses::check_at_balance(rising(), (2 + 3 + 4 + 5) / 4.0);
}

TEST_CASE("the expected cost has the same bits on every number of threads") { losses::check_backends(rising()); }

TEST_CASE("an expected cost names costs of another size and numbers that are not finite") {
    moe::reference b;
    moe::tape<double> tape;
    const losses::even_batch<double> even(6, 4, 2);
    losses::record(b, losses::layer_of<double>(4, 2), even.in, tape);
    const std::vector<double> three(3, 1.0), bad{1, 2, std::numeric_limits<double>::quiet_NaN(), 4}, four(4, 1.0);
    CHECK_THROWS_WITH(moe::expected_cost{.cost = three}(b, tape), "moe: expected_cost.cost: wanted [4], got [3]");
    CHECK_THROWS_AS(moe::expected_cost{}(b, tape), moe::shape_error);
    CHECK_THROWS_WITH(moe::expected_cost{.cost = bad}(b, tape), Catch::Contains("expected_cost.cost"));
    CHECK_THROWS_AS((moe::expected_cost{.coefficient = bad[2], .cost = four}(b, tape)), moe::value_error);
}
