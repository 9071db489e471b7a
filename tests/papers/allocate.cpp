// Papers on how many bits an expert gets; numbers in brackets are the project's list of papers.
#include "moe/experts/allocate_within.hpp"
#include "moe/experts/expert_damage.hpp"
#include "moe/layer/residual.hpp"
#include "moe/metrics/block_similarity.hpp"
#include "moe/metrics/load.hpp"
#include "papers/run_layer.hpp"

namespace {

using moe::index_t;
using run_layer::run;
using ternary = moe::ternary_weights<128>;
using int4 = moe::int4_weights<128>;
using int8 = moe::int8_weights<128>;
using bank32 = moe::swiglu_bank<float>;

const std::vector<int> widths{2, 4, 8};

bank32 six_experts() { return {{.features = 32, .hidden = 24, .experts = 6, .seed = 3}}; }

// Takes expert e from another bank.
void replace(bank32& bank, const bank32& other, index_t e) {
    const auto one = [&](moe::panels<float>& to, const moe::panels<float>& from) {
        moe::matrix<float> m(from.outputs(), from.inputs());
        from.read(e, m.view());
        to.assign(e, m.view());
    };
    one(bank.gate, other.gate);
    one(bank.up, other.up);
    one(bank.down, other.down);
}

double distance(const moe::matrix<float>& a, const moe::matrix<float>& b) {
    double squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(double(a.data()[i]) - double(b.data()[i]), 2);
    return std::sqrt(squares);
}

// The experts get uneven shares of these.
moe::matrix<float> shifted_rows() {
    auto x = moe::testing::random_matrix<float>(90, 32, 6);
    for (index_t t = 0; t < x.rows(); ++t) x(t, 0) += 3;
    return x;
}

// Six experts, a calibration batch and its routes.
struct calibrated {
    bank32 bank = six_experts();
    decltype(small_router<float>(32, 6)) router = small_router<float>(32, 6);
    moe::matrix<float> x = shifted_rows();
    run_layer::result<float> whole{moe::layer{router, bank}, x};
    std::span<const float> weight = whole.tape.routing().routes.weight;

    moe::plan_view plan() const { return whole.tape.plan(); }
    moe::matrix<float> outputs(const bank32& other) const { return run(moe::layer{router, other}, x).y; }
};

// Banks whose experts have the decoded weights of 2, 4 or 8 bits.
struct decoded_widths {
    bank32 two, four, eight;

    decoded_widths(const bank32& bank)
        : two(moe::dequantize_bank(moe::quantize_bank<ternary>(bank))),
          four(moe::dequantize_bank(moe::quantize_bank<int4>(bank))),
          eight(moe::dequantize_bank(moe::quantize_bank<int8>(bank))) {}
    bank32 with(const std::vector<int>& bits) const {
        bank32 to = eight;
        for (index_t e = 0; e < to.experts(); ++e) {
            const int b = bits[std::size_t(e)];
            if (b != 8) replace(to, b == 2 ? two : four, e);
        }
        return to;
    }
};

// All choices of three widths for six experts.
template <class F>
void for_each_choice(const F& f) {
    for (int code = 0; code < 729; ++code) {
        std::vector<int> bits;
        for (int rest = code, e = 0; e < 6; ++e, rest /= 3) bits.push_back(widths[std::size_t(rest % 3)]);
        f(bits);
    }
}

double cost_of(const moe::matrix<double>& cost, const std::vector<int>& bits) {
    double sum = 0;
    for (index_t e = 0; e < 6; ++e) sum += cost(e, index_t(bits[std::size_t(e)] / 4));
    return sum;
}

int sum_of(const std::vector<int>& bits) { return std::accumulate(bits.begin(), bits.end(), 0); }

}  // namespace

TEST_CASE("MC# [64]: the damage of an expert is what the layer's output loses with that expert alone replaced") {
    moe::cpu cpu;
    const calibrated c;
    const auto low = moe::quantize_bank<ternary>(c.bank);
    const auto damage = moe::expert_damage(cpu, c.bank, low, c.x, c.plan(), c.weight);
    const auto low_floats = moe::dequantize_bank(low);
    for (index_t e = 0; e < 6; ++e) {
        bank32 one = c.bank;
        replace(one, low_floats, e);
        CHECK(damage[std::size_t(e)] > 0.01);
        // Two float sums whose difference is a few per cent of them.
        CHECK(damage[std::size_t(e)] == Approx(distance(c.outputs(one), c.whole.y)).epsilon(1e-4));
    }
    const auto all = moe::expert_damages<ternary, int4, int8>(cpu, c.bank, c.x, c.plan(), c.weight);
    REQUIRE((all.rows() == 6 && all.cols() == 3));
    const auto searched = moe::quantize_bank<int4>(cpu, c.bank, c.x, c.plan()).bank;
    const auto at4 = moe::expert_damage(cpu, c.bank, searched, c.x, c.plan(), c.weight);
    for (index_t e = 0; e < 6; ++e) {
        CHECK(all(e, 1) == at4[std::size_t(e)]);
        CHECK(all(e, 0) > all(e, 1));
        CHECK(all(e, 1) > all(e, 2));
    }
    const bank32 wider{{.features = 32, .hidden = 25, .experts = 6}};
    CHECK_THROWS_WITH(moe::expert_damage(cpu, c.bank, moe::quantize_bank<ternary>(wider), c.x, c.plan()),
                      Catch::Contains("expert_damage: hidden: wanted 24, got 25"));
    CHECK_THROWS_WITH(moe::expert_damage(cpu, c.bank, low, c.x, c.plan(), std::vector<float>(3)),
                      Catch::Contains("expert_damage: weights"));
}

TEST_CASE("MC# [64]: bits by frequency, mass and damage cost the least there is, and the layer errs the least") {
    moe::cpu cpu;
    const calibrated c;
    const auto damages = moe::expert_damages<ternary, int4, int8>(cpu, c.bank, c.x, c.plan(), c.weight);
    const moe::load_stats load(c.plan(), c.whole.tape.routing());
    const auto cost = moe::allocation_costs(load.count(), load.mass(), damages.view());
    double before = std::numeric_limits<double>::infinity();
    for (int budget = 12; budget <= 48; budget += 4) {
        double least = std::numeric_limits<double>::infinity();
        for_each_choice([&](const std::vector<int>& bits) {
            if (sum_of(bits) <= budget) least = std::min(least, cost_of(cost, bits));
        });
        const auto bits = moe::allocate_bits(cost.view(), widths, budget);
        CHECK(sum_of(bits) <= budget);
        CHECK(cost_of(cost, bits) == Approx(least).epsilon(1e-12));
        CHECK(cost_of(cost, bits) <= before);
        before = cost_of(cost, bits);
    }
    CHECK_THROWS_WITH(moe::allocate_bits(cost.view(), widths, 11), Catch::Contains("budget"));
    // With squares of damages alone: no other way to hand the same widths out gives a layer that errs less, but for
    // what errors of two experts of a token have to do with each other.
    const auto plain = moe::allocation_costs(load.count(), load.mass(), damages.view(), {.frequency = 0, .mass = 0});
    const decoded_widths all(c.bank);
    for (const int budget : {16, 20, 28, 40}) {
        auto bits = moe::allocate_bits(plain.view(), widths, budget);
        const double got = distance(c.outputs(all.with(bits)), c.whole.y);
        std::sort(bits.begin(), bits.end());
        double least = got, worst = got;
        do {
            const double other = distance(c.outputs(all.with(bits)), c.whole.y);
            least = std::min(least, other);
            worst = std::max(worst, other);
        } while (std::next_permutation(bits.begin(), bits.end()));
        CAPTURE(budget, got, least, worst);
        CHECK(got < 1.02 * least);
        CHECK(worst > 1.1 * got);
    }
}

TEST_CASE("MC# [64]: a cost is a product of powers of shares and damage") {
    const std::vector<double> count{1, 3}, mass{4, 12}, none{0, 0};
    moe::matrix<double> damage(2, 1);
    damage(0, 0) = 3;
    CHECK(moe::allocation_costs(count, mass, damage.view())(0, 0) == Approx(0.25 * 0.125 * 9).epsilon(1e-14));
    CHECK(moe::allocation_costs(count, mass, damage.view())(1, 0) == 0);
    CHECK(moe::allocation_costs(count, mass, damage.view(), {.frequency = 2, .mass = 1, .damage = 1})(0, 0) ==
          Approx(0.0625 * 0.25 * 3).epsilon(1e-14));
    CHECK(moe::allocation_costs(none, none, damage.view())(0, 0) == 0);
    CHECK_THROWS_WITH(moe::allocation_costs(std::vector<double>(3), mass, damage.view()), Catch::Contains("count"));
    CHECK_THROWS_WITH(moe::allocation_costs(count, std::vector<double>(3), damage.view()), Catch::Contains("mass"));
    damage(1, 0) = -3;
    CHECK_THROWS_WITH(moe::allocation_costs(count, mass, damage.view()), Catch::Contains("damage of expert 1"));
}

TEST_CASE("QuantMoE-Bench [67]: outliers, use and the turn of a block say where the high bits go") {
    moe::matrix<float> w(7, 2);
    for (auto& v : w.span()) v = 0.5f;
    moe::relu_bank<float> bank{{.features = 2, .hidden = 7, .experts = 3}};
    moe::matrix<float> back(2, 7);
    for (auto& v : back.span()) v = -0.25f;
    for (index_t e = 0; e < 3; ++e) {
        bank.up.assign(e, w.view());
        bank.down.assign(e, back.view());
    }
    bank.up(1, 4, 0) *= 10;
    bank.down(2, 1, 3) *= 10;  // a column of two rows
    const auto scores = moe::outlier_scores(bank);
    CHECK(scores[0] == 1);
    CHECK(scores[1] == Approx(10.0 * 7 / (7 + 9)).epsilon(1e-14));
    CHECK(scores[2] == Approx(10.0 * 2 / (2 + 9)).epsilon(1e-14));
    CHECK(moe::allocate_top(scores, 1.0 / 3, 4, 2) == std::vector<int>{2, 4, 2});
    CHECK(moe::allocate_top(scores, 2.0 / 3, 4, 2) == std::vector<int>{2, 4, 4});
    CHECK(moe::allocate_top(scores, 0, 4, 2) == std::vector<int>{2, 2, 2});
    CHECK(moe::allocate_top(scores, 1, 4, 2) == std::vector<int>{4, 4, 4});
    const std::vector<double> parameters{100, 300, 600};
    CHECK(moe::mean_bits(std::vector<int>{2, 4, 2}, parameters) == Approx(2.6).epsilon(1e-14));
    CHECK(moe::mean_bits({}, {}) == 0);
    CHECK_THROWS_WITH(moe::mean_bits(std::vector<int>{2}, parameters), Catch::Contains("parameters"));
    const calibrated c;
    const moe::load_stats load(c.plan(), c.whole.tape.routing());
    const std::vector<double> use(load.count().begin(), load.count().end());
    const auto bits = moe::allocate_top(use, 1.0 / 6, 4, 2);
    CHECK(bits[std::size_t(std::max_element(use.begin(), use.end()) - use.begin())] == 4);
    CHECK(sum_of(bits) == 14);
}

TEST_CASE("QuantMoE-Bench [67]: a block that turns its tokens more gets the high bits") {
    const auto x = moe::testing::random_matrix<double>(9, 5, 2);
    auto turned = x;
    for (auto& v : turned.span()) v *= -3;
    CHECK(moe::block_similarity(x.view(), x) == Approx(1).epsilon(1e-14));
    CHECK(moe::block_similarity(x.view(), turned) == Approx(-1).epsilon(1e-14));
    for (index_t j = 0; j < 5; ++j) turned(0, j) = 0;
    CHECK(moe::block_similarity(x.view(), turned) == Approx(-8.0 / 9).epsilon(1e-14));
    const std::vector<std::uint8_t> mask{0, 1, 1, 1, 1, 1, 1, 1, 1}, none(9);
    CHECK(moe::block_similarity(x.view(), turned, mask) == Approx(-1).epsilon(1e-14));
    CHECK(moe::block_similarity(x.view(), turned, none) == 0);
    turned(4, 2) = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(moe::block_similarity(x.view(), turned)));
    CHECK_THROWS_WITH(moe::block_similarity(x.view(), moe::matrix<double>(9, 4)), Catch::Contains("after"));
    CHECK_THROWS_WITH(moe::block_similarity(x.view(), x, std::vector<std::uint8_t>(8)), Catch::Contains("mask"));
    // Residual blocks whose experts add more and more to the stream.
    const auto stream = moe::testing::random_matrix<float>(40, 32, 6);
    std::vector<double> scores;
    for (const float size : {0.1f, 10.0f, 1.0f}) {
        bank32 bank = six_experts();
        for (auto& v : bank.down.span()) v *= size;
        const moe::residual block{moe::layer{small_router<float>(32, 6), bank}};
        scores.push_back(1 - moe::block_similarity(stream.view(), run(block, stream).y));
    }
    CAPTURE(scores);
    CHECK(moe::allocate_top(scores, 1.0 / 3, 4, 2) == std::vector<int>{2, 4, 2});
    CHECK(moe::allocate_top(scores, 2.0 / 3, 4, 2) == std::vector<int>{2, 4, 4});
}

TEST_CASE("EdgeMoE [134]: the least sensitive experts are lowered as far as the measured loss allows") {
    const std::vector<double> sensitivity{5, 1, 3, 1, 9};
    const auto loss = [&](const std::vector<int>& bits) {
        double sum = 0;
        for (std::size_t e = 0; e < bits.size(); ++e) sum += bits[e] == 2 ? sensitivity[e] : 0;
        return sum;
    };
    const double sums[] = {0, 1, 2, 5, 10, 19};
    for (std::size_t k = 0; k <= 5; ++k) {
        const auto exact = moe::allocate_within(sensitivity, sums[k], 4, 2, loss);
        CHECK(exact.lowered == k);
        CHECK(exact.loss == sums[k]);
        CHECK(moe::allocate_within(sensitivity, sums[k] + 0.5, 4, 2, loss).bits == exact.bits);
    }
    CHECK(moe::allocate_within(sensitivity, 4, 4, 2, loss).bits == std::vector<int>{4, 2, 4, 2, 4});
    CHECK(moe::allocate_within({5, 1, 3, 1, 9}, 1, 4, 2, loss).bits == std::vector<int>{4, 2, 4, 4, 4});
    int calls = 0;
    const auto counted = [&](const std::vector<int>& bits) { return ++calls, loss(bits); };
    CHECK(moe::allocate_within(sensitivity, 5, 4, 2, counted).lowered == 3);
    CHECK(calls <= 4);  // log2 5 + 2
    // Also where the loss does not rise with every expert, what is returned was measured.
    const auto odd = [](const std::vector<int>& bits) { return double(std::count(bits.begin(), bits.end(), 2) % 2); };
    CHECK(moe::allocate_within(sensitivity, 0, 4, 2, odd).loss == 0);
    const auto nan = [](const std::vector<int>&) { return std::nan(""); };
    CHECK_THROWS_WITH(moe::allocate_within(sensitivity, 1, 4, 2, nan), Catch::Contains("limit"));
    CHECK_THROWS_WITH(moe::allocate_within(sensitivity, -1, 4, 2, loss), Catch::Contains("limit"));
    CHECK_THROWS_WITH(moe::allocate_within({std::nan("")}, 1, 4, 2, loss), Catch::Contains("sensitivity"));
    CHECK(moe::allocate_within({}, 0, 4, 2, loss).bits.empty());
}

TEST_CASE("EdgeMoE [134]: by damage, as many experts of a layer go to two bits as its measured error allows") {
    moe::cpu cpu;
    const calibrated c;
    const auto damage = moe::expert_damage(cpu, c.bank, moe::quantize_bank<ternary>(c.bank), c.x, c.plan(), c.weight);
    std::vector<index_t> order{0, 1, 2, 3, 4, 5};
    std::sort(order.begin(), order.end(),
              [&](index_t a, index_t b) { return damage[std::size_t(a)] < damage[std::size_t(b)]; });
    const decoded_widths all(c.bank);
    const auto loss = [&](const std::vector<int>& bits) {
        return distance(c.outputs(all.with(bits)), c.whole.y);
    };
    std::vector<int> bits(6, 8);
    std::vector<double> losses{loss(bits)};
    for (const index_t e : order) {
        bits[std::size_t(e)] = 2;
        losses.push_back(loss(bits));
    }
    REQUIRE(std::is_sorted(losses.begin(), losses.end()));
    for (std::size_t k = 0; k <= 6; ++k) {
        const double limit = k == 6 ? losses[6] : (losses[k] + losses[k + 1]) / 2;
        const auto to = moe::allocate_within(damage, limit, 8, 2, loss);
        CHECK(to.lowered == k);
        CHECK(to.loss == losses[k]);
    }
    // float16 rounds a weight by at most 2^-11 of it, about 0.0005, and an output is a sum of three such products.
    const auto half = run(moe::layer{c.router, moe::quantize_bank<moe::f16_weights>(c.bank)}, c.x).y;
    CHECK(relative_error(half.view(), c.whole.y.view()) < 1e-3);
}
