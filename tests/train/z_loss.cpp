#include "moe/train/z_loss.hpp"

#include "train/losses.hpp"

using losses::index_t;

TEST_CASE("the z loss is right by central differences") {
    losses::check_loss(moe::z_loss{.coefficient = 0.3});
    losses::check_loss(moe::z_loss{}, true);
}

TEST_CASE("the z loss of equal logits is the square of their log-sum-exp") {
    losses::check_at_balance(moe::z_loss{.coefficient = 0.5}, 0.5 * std::log(4.0) * std::log(4.0));
}

TEST_CASE("the z loss has the same bits on every number of threads") { losses::check_backends(moe::z_loss{}); }

TEST_CASE("the z loss survives logits of any size") {
    moe::reference b;
    auto layer = losses::raw_layer_of<double>(2, 1);
    moe::matrix<double> x(3, 5);
    auto& gate = layer.router().step<0>();
    for (index_t d = 0; d < 5; ++d) gate.weight(0, 0, d) = gate.weight(0, 1, d) = d == 0 ? 1.0 : 0.0;
    const double infinity = std::numeric_limits<double>::infinity();
    x(0, 0) = 1e4;
    x(1, 0) = -infinity;
    x(1, 1) = 0.0;
    x(2, 0) = -1e4;
    for (index_t d = 1; d < 5; ++d) gate.weight(0, 0, d) = gate.weight(0, 1, d) = 1e-30;
    moe::batch<double> in;
    in.x = x;
    moe::tape<double> tape;
    losses::record(b, layer, in, tape);
    CHECK(moe::z_loss{}(b, tape) == Approx(2e8 / 3).epsilon(1e-3));
    CHECK(tape.d.logits(0, 0) == Approx(2.0 / 3 * 1e4 * 0.5).epsilon(1e-3));
    CHECK(tape.d.logits(1, 0) == 0.0);
    CHECK(tape.d.logits(2, 1) == Approx(-2.0 / 3 * 1e4 * 0.5).epsilon(1e-3));
}

TEST_CASE("the z loss refuses a coefficient that is no number") {
    moe::reference b;
    moe::tape<double> tape;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(moe::z_loss{.coefficient = nan}(b, tape),
                      "moe: z_loss.coefficient: wanted a finite number, got nan");
}
