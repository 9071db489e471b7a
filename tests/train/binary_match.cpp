#include "moe/train/binary_match.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

// Wanted experts between 0 and 1, whatever the number of tokens.
struct toward_given {
    moe::binary_match loss;

    template <class B, class T>
    double operator()(B& b, moe::tape<T>& tape) const {
        moe::matrix<T> target(tape.in().tokens(), tape.routing().experts);
        for (std::size_t i = 0; i < target.size(); ++i) target.data()[i] = T(i % 3) / T(2);
        return loss(b, tape, target);
    }
};

}  // namespace

TEST_CASE("binary_match is right by central differences") {
    losses::check_loss(toward_given{{.coefficient = 0.3}});
    losses::check_loss(toward_given{}, true);
    losses::check_at_balance(toward_given{}, std::log(2.0));
    losses::check_backends(toward_given{});
}

TEST_CASE("binary_match of logits of 0 and targets of 1 is ln 2, and survives large logits") {
    moe::reference b;
    moe::tape<double> tape;
    auto layer = losses::raw_layer_of<double>(2, 1);
    moe::matrix<double> x(1, 5), target(1, 2);
    target(0, 0) = target(0, 1) = 1.0;
    moe::batch<double> in;
    in.x = x;
    losses::record(b, layer, in, tape);
    CHECK(moe::binary_match{}(b, tape, target) == Approx(std::log(2.0)));
    CHECK(tape.d.logits(0, 0) == Approx(-0.25));
    CHECK(tape.d.logits(0, 1) == Approx(-0.25));
    for (index_t d = 0; d < 5; ++d) layer.router().step<0>().weight(0, 0, d) = d == 0, layer.router().step<0>().weight(0, 1, d) = 0;
    x(0, 0) = -1e4;
    losses::record(b, layer, in, tape);
    CHECK(moe::binary_match{}(b, tape, target) == Approx((1e4 + std::log(2.0)) / 2));
    CHECK(tape.d.logits(0, 0) == Approx(-0.5));
    const moe::matrix<double> wrong(1, 3);
    CHECK_THROWS_WITH(moe::binary_match{}(b, tape, wrong), "moe: binary_match: target: wanted [1, 2], got [1, 3]");
}
