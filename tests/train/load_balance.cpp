#include "moe/train/load_balance.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

// A router whose scores are what the test says: identity gate, no score step.
struct given_gate {
    using role = moe::gate_step;
    using scalar = double;
    index_t width = 0;
    index_t features() const { return width; }
    index_t columns() const { return width; }
    template <class B>
    void forward(B&, const moe::routing<double>& s, moe::matrix_view<double> logits) const {
        for (index_t t = 0; t < s.tokens(); ++t) {
            for (index_t e = 0; e < width; ++e) logits(t, e) = s.in().features(t, e);
        }
    }
    template <class B>
    void backward(B&, const moe::routing<double>&, const moe::routing<double>&, moe::adjoint<double>&) const {}
};

auto given_layer(index_t experts, index_t k) {
    return moe::layer{moe::router{given_gate{experts}, moe::top_k{.k = k}},
                      moe::ffn_bank<double, moe::silu>{{.features = experts, .hidden = 1, .experts = experts}}};
}

double loss_of(const moe::load_balance& loss, moe::matrix<double>& p, index_t k, moe::batch<double> in = {}) {
    moe::reference b;
    moe::tape<double> tape;
    in.x = p;
    losses::record(b, given_layer(p.cols(), k), in, tape);
    return loss(b, tape);
}

moe::matrix<double> rows(std::vector<std::vector<double>> values) {
    moe::matrix<double> m(index_t(values.size()), index_t(values.front().size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        for (std::size_t j = 0; j < values[i].size(); ++j) m(index_t(i), index_t(j)) = values[i][j];
    }
    return m;
}

}  // namespace

TEST_CASE("load balance is right by central differences, from each kind of probabilities") {
    losses::check_loss(moe::load_balance{.coefficient = 0.3});
    losses::check_loss(moe::load_balance{.coefficient = 0.3, .from = moe::probabilities::softmax_of_logits}, true);
    losses::check_loss(moe::load_balance{.from = moe::probabilities::normalized_scores});
    losses::check_loss(moe::load_balance{.divide_by = moe::load_normaliser::tokens});
}

TEST_CASE("load balance is 1 at balance, K where it divides by tokens") {
    losses::check_at_balance(moe::load_balance{}, 1.0);
    losses::check_at_balance(moe::load_balance{.coefficient = 0.01, .from = moe::probabilities::softmax_of_logits}, 0.01);
    losses::check_at_balance(moe::load_balance{.from = moe::probabilities::normalized_scores}, 1.0);
    losses::check_at_balance(moe::load_balance{.groups = 2}, 1.0);
    moe::reference b;
    moe::tape<double> tape;
    const losses::even_batch<double> even(6, 4, 2);
    losses::record(b, losses::layer_of<double>(4, 2), even.in, tape);
    CHECK(moe::load_balance{.divide_by = moe::load_normaliser::tokens}(b, tape) == Approx(2.0));
}

TEST_CASE("load balance has the same bits on every number of threads") {
    losses::check_backends(moe::load_balance{.coefficient = 0.3});
    losses::check_backends(moe::load_balance{.from = moe::probabilities::softmax_of_logits});
}

TEST_CASE("load balance follows its formula") {
    auto p = rows({{.5, .3, .2}, {.6, .3, .1}, {.1, .2, .7}});
    // Top 1: loads 2, 0, 1; mean probabilities 1.2, 0.8, 1.0 over 3.
    CHECK(loss_of({}, p, 1) == Approx(3 * (2.0 / 3 * 0.4 + 1.0 / 3 * (1.0 / 3))));
    // Top 2: loads 2, 3, 1 of 6 slots.
    CHECK(loss_of({}, p, 2) == Approx(3 * (2.0 / 6 * 0.4 + 3.0 / 6 * (0.8 / 3) + 1.0 / 6 * (1.0 / 3))));
    CHECK(loss_of({.divide_by = moe::load_normaliser::tokens}, p, 2) == Approx(2 * loss_of({}, p, 2)));
    CHECK(loss_of({.coefficient = 0.25}, p, 2) == Approx(0.25 * loss_of({}, p, 2)));
}

TEST_CASE("load balance by sequence is the mean of the losses of the sequences alone") {
    auto all = rows({{.5, .3, .2}, {.6, .3, .1}, {.1, .2, .7}, {.3, .4, .3}, {.8, .1, .1}});
    auto first = rows({{.5, .3, .2}, {.6, .3, .1}});
    auto second = rows({{.1, .2, .7}, {.3, .4, .3}, {.8, .1, .1}});
    const std::vector<index_t> sequence{0, 2, 2, 5};
    moe::batch<double> in;
    in.sequence = sequence;
    const moe::load_balance loss{.scope = moe::loss_scope::sequence};
    CHECK(loss_of(loss, all, 2, in) == Approx((loss_of({}, first, 2) + loss_of({}, second, 2)) / 2));
    CHECK(loss_of(loss, all, 2) == Approx(loss_of({}, all, 2)));

    moe::reference b;
    auto layer = losses::layer_of<double>(4, 2);
    const auto x = moe::testing::random_matrix<double>(5, 5, 5);
    const std::vector<std::uint8_t> mask{1, 1, 0, 1, 1};
    in.x = x;
    in.mask = mask;
    const auto report = moe::testing::check_gradients(b, layer, in, loss);
    CHECK(report.worst <= difference_tolerance);
}

TEST_CASE("load balance takes counts of a global batch") {
    // Two micro-batches, each collapsed onto one expert, together even.
    auto a = rows({{.9, .1}, {.9, .1}});
    auto c = rows({{.1, .9}, {.1, .9}});
    moe::reference b;
    moe::tape<double> first, second;
    moe::batch<double> in;
    in.x = a;
    losses::record(b, given_layer(2, 1), in, first);
    in.x = c;
    losses::record(b, given_layer(2, 1), in, second);
    CHECK(moe::load_balance{}(b, first) == Approx(1.8));
    moe::route_counts counts(2);
    counts.add(first.plan(), first.routing());
    CHECK(moe::load_balance{.given = counts.load()}(b, first) == Approx(1.8));
    counts.add(second.plan(), second.routing());
    CHECK(counts.load().tokens == 4.0);
    CHECK(moe::load_balance{.given = counts.load()}(b, first) == Approx(1.0));
    CHECK(moe::load_balance{.given = counts.load()}(b, second) == Approx(1.0));
    moe::route_counts copy(2);
    copy.add(counts.load());
    CHECK(copy.load().slots == 4.0);
    counts.clear();
    CHECK(counts.load().count[0] == 0.0);
}

TEST_CASE("load balance averages counts over groups and multiplies them by costs") {
    auto p = rows({{.5, .3, .1, .1}, {.4, .3, .2, .1}, {.1, .2, .1, .6}});
    // Top 1: loads 2, 0, 0, 1. Groups of two: 1, 1, .5, .5.
    const double m0 = 1.0 / 3, m1 = 0.8 / 3, m2 = 0.4 / 3, m3 = 0.8 / 3;
    CHECK(loss_of({.groups = 2}, p, 1) == Approx(4.0 / 3 * (m0 + m1 + 0.5 * (m2 + m3))));
    const std::vector<double> cost{1, 1, 1, 3};
    CHECK(loss_of({.cost = cost}, p, 1) == Approx(4.0 / 3 * (2 * m0 + 3 * m3)));
}

TEST_CASE("load balance shares the count of null experts among them, dropped or not") {
    // Experts 2 and 3 are null. Counts (3, 1 | 0, 4) of 8 slots: f = .375, .125, .25, .25.
    auto p = rows({{.4, .1, .2, .3}, {.4, .1, .2, .3}, {.4, .1, .2, .3}, {.1, .4, .2, .3}});
    const double expected = 4 * (.375 * .325 + .125 * .175 + .25 * .2 + .25 * .3);
    CHECK(loss_of({.null_experts = 2}, p, 2) == Approx(expected));
    const std::vector<index_t> offset{0, 2, 4, 6, 8}, expert{0, -1, 0, -1, 0, -1, 1, -1};
    moe::batch<double> in;
    in.replay_offset = offset;
    in.replay_expert = expert;
    CHECK(loss_of({.null_experts = 2}, p, 2, in) == Approx(expected));
}

TEST_CASE("load balance with a dropped route counts its slot and no expert") {
    auto p = rows({{.5, .5}, {.5, .5}});
    const std::vector<index_t> offset{0, 1, 2}, expert{0, -1};
    moe::batch<double> in;
    in.replay_offset = offset;
    in.replay_expert = expert;
    CHECK(loss_of({}, p, 1, in) == Approx(2 * 0.5 * 0.5));
}

TEST_CASE("load balance keeps a NaN token's gradient away from the others") {
    moe::reference b;
    moe::tape<double> tape;
    auto x = moe::testing::random_matrix<double>(4, 5, 9);
    x(2, 0) = std::numeric_limits<double>::quiet_NaN();
    moe::batch<double> in;
    in.x = x;
    losses::record(b, losses::layer_of<double>(4, 2), in, tape);
    CHECK(std::isnan(moe::load_balance{.from = moe::probabilities::softmax_of_logits}(b, tape)));
    for (const index_t t : {0, 1, 3}) CHECK(std::isfinite(losses::largest(tape.d.logits.middle_rows(t, 1))));
}

TEST_CASE("load balance names what is wrong with its options") {
    auto p = rows({{.5, .5}, {.5, .5}});
    const std::vector<double> three(3, 1.0);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(loss_of({.coefficient = nan}, p, 1), "moe: load_balance.coefficient: wanted a finite number, got nan");
    CHECK_THROWS_WITH(loss_of({.groups = 3}, p, 1), "moe: load_balance.groups: wanted a divisor of 2, got 3");
    CHECK_THROWS_WITH(loss_of({.null_experts = 2}, p, 1), "moe: load_balance.null_experts: wanted 0 to 1, got 2");
    CHECK_THROWS_WITH(loss_of({.cost = three}, p, 1), "moe: load_balance.cost: wanted [2], got [3]");
    CHECK_THROWS_WITH(loss_of({.given = {.count = three}}, p, 1), "moe: load_balance.given.count: wanted [2], got [3]");
    const moe::load_balance both{.scope = moe::loss_scope::sequence, .given = {.count = std::span(three).first(2)}};
    CHECK_THROWS_WITH(loss_of(both, p, 1), "moe: load_balance.given: wanted scope = batch, got scope = sequence");
    moe::reference b;
    moe::tape<double> empty;
    CHECK_THROWS_AS(moe::load_balance{}(b, empty), moe::value_error);
    CHECK_THROWS_WITH(moe::route_counts(0), "moe: route_counts: experts: wanted at least 1, got 0");
}
