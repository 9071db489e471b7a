#include "moe/train/match_routing.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

// A loss towards fixed probabilities, whatever the number of tokens.
struct toward_given {
    moe::match_routing loss;

    template <class B, class T>
    double operator()(B& b, moe::tape<T>& tape) const {
        const index_t experts = tape.routing().experts;
        moe::matrix<T> target = moe::testing::random_matrix<T>(tape.in().tokens(), experts, 8);
        for (index_t t = 0; t < target.rows(); ++t) moe::detail::softmax_row(&target(t, 0), experts);
        return loss(b, tape, target);
    }
};

constexpr auto logits = moe::probabilities::softmax_of_logits;
constexpr auto reverse = moe::routing_distance::router_to_target;
constexpr auto squared = moe::routing_distance::squared;

}  // namespace

TEST_CASE("match_routing is right by central differences in its three distances") {
    losses::check_loss(toward_given{{.coefficient = 0.3}});
    losses::check_loss(toward_given{{.from = logits}}, true);
    losses::check_loss(toward_given{{.from = moe::probabilities::normalized_scores}});
    losses::check_loss(toward_given{{.distance = reverse}});
    losses::check_loss(toward_given{{.from = logits, .distance = reverse}}, true);
    losses::check_loss(toward_given{{.distance = squared}});
    losses::check_loss(toward_given{{.from = logits, .distance = squared}}, true);
}

TEST_CASE("match_routing has the same bits on every number of threads") {
    losses::check_backends(toward_given{{.from = logits}});
    losses::check_backends(toward_given{{.distance = reverse}});
}

TEST_CASE("match_routing is 0 where the routing is the given one") {
    moe::reference b;
    moe::tape<double> tape;
    const auto x = moe::testing::random_matrix<double>(5, 5, 3);
    moe::batch<double> in;
    in.x = x;
    losses::record(b, losses::layer_of<double>(4, 2), in, tape);
    for (const auto distance : {moe::routing_distance::target_to_router, reverse, squared}) {
        for (const auto from : {moe::probabilities::scores, logits}) {
            const moe::match_routing loss{.from = from, .distance = distance};
            CHECK(loss(b, tape, tape.routing().scores) == Approx(0.0).margin(1e-14));
        }
    }
    CHECK(losses::largest(tape.d.logits) <= 1e-14);
}

TEST_CASE("match_routing towards one-hot targets is the cross entropy, and right where probabilities underflow") {
    moe::reference b;
    moe::tape<double> tape;
    auto layer = losses::layer_of<double>(4, 2);
    moe::matrix<double> x(2, 5), target(2, 4);
    for (index_t e = 0; e < 4; ++e) {
        for (index_t d = 0; d < 5; ++d) layer.router().step<0>().weight(0, e, d) = d == 0 ? double(e) : 0.0;
    }
    x(0, 0) = 1.0;
    x(1, 0) = -2000.0;
    target(0, 1) = target(1, 3) = 1.0;
    moe::batch<double> in;
    in.x = x;
    losses::record(b, layer, in, tape);
    const double lse = std::log(1 + std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
    CHECK(moe::match_routing{.from = logits}(b, tape, target) == Approx((lse - 1.0 + 6000.0) / 2));
    CHECK(tape.d.logits(1, 3) == Approx(-0.5));
    CHECK(tape.d.logits(1, 0) == Approx(0.5));
}

TEST_CASE("match_routing refuses a target of another shape") {
    moe::reference b;
    moe::tape<double> tape;
    const auto x = moe::testing::random_matrix<double>(5, 5, 3);
    moe::batch<double> in;
    in.x = x;
    losses::record(b, losses::layer_of<double>(4, 2), in, tape);
    const moe::matrix<double> target(5, 3);
    CHECK_THROWS_WITH(moe::match_routing{}(b, tape, target), "moe: match_routing: target: wanted [5, 4], got [5, 3]");
}
