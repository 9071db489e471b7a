// Papers on experts and routers in fewer bits; numbers in brackets are the project's list of papers.
#include <set>

#include "experts/storages.hpp"
#include "moe/transform/balance_calibration.hpp"
#include "moe/transform/quantize_gate.hpp"
#include "moe/transform/smooth_channels.hpp"
#include "papers/run_layer.hpp"

namespace {

using moe::index_t;
using run_layer::result;
using run_layer::run;

// Two channels stand out, as behind the norms of large models.
template <class T>
moe::matrix<T> with_outliers(index_t tokens, index_t features) {
    auto x = moe::testing::random_matrix<T>(tokens, features, 5);
    for (index_t t = 0; t < tokens; ++t) {
        x(t, 3) *= T(60);
        x(t, features - 2) *= T(25);
    }
    return x;
}

template <class T>
moe::swiglu_bank<T> five_experts(index_t features) {
    return {{.features = features, .hidden = 40, .experts = 5, .seed = 3}};
}

template <class T>
moe::matrix<T> logits_of(const result<T>& r) {
    const auto logits = r.tape.routing().logits;
    moe::matrix<T> copy(logits.rows, logits.cols);
    for (index_t t = 0; t < copy.rows(); ++t) std::copy_n(logits.row(t), copy.cols(), &copy(t, 0));
    return copy;
}

// The layer of five experts, its router and its input with scales of channels folded in.
template <class T>
struct smoothed {
    moe::swiglu_bank<T> bank;
    decltype(small_router<T>(1, 1)) router;
    moe::matrix<T> x;
    std::vector<double> scales;

    smoothed(const moe::matrix<T>& rows, const moe::smoothing_options& o)
        : bank(five_experts<T>(rows.cols())), router(small_router<T>(rows.cols(), 5)), x(rows) {
        const auto before = run(moe::layer{router, bank}, x);
        auto& gate = moe::get<moe::linear_gate<T>>(router);
        scales = moe::channel_scales(bank, gate.weight, x, before.tape.plan(), o);
        moe::multiply_channels(bank, scales);
        moe::multiply_channels(gate.weight, scales);
        moe::divide_channels(x.view(), scales);
    }
};

class hand_plan {
public:
    hand_plan(index_t tokens, std::vector<index_t> offset, std::vector<index_t> token)
        : tokens_(tokens), offset_(std::move(offset)), token_(std::move(token)) {}
    moe::plan_view view() const {
        moe::plan_view plan;
        plan.tokens = tokens_;
        plan.offset = offset_;
        plan.token = token_;
        return plan;
    }

private:
    index_t tokens_;
    std::vector<index_t> offset_, token_;
};

// The logits of a gate in double.
moe::matrix<double> exact_logits(const moe::panels<float>& w, const moe::matrix<float>& bias,
                                 const moe::matrix<float>& x) {
    moe::matrix<double> z(x.rows(), w.outputs());
    for (index_t t = 0; t < z.rows(); ++t) {
        for (index_t e = 0; e < z.cols(); ++e) {
            z(t, e) = double(bias(0, e));
            for (index_t j = 0; j < x.cols(); ++j) z(t, e) += double(w(0, e, j)) * double(x(t, j));
        }
    }
    return z;
}

// Weights in 4 bits under the largest magnitude of 32 inputs over 7, times a factor of every expert.
moe::panels<float> clipped(const moe::panels<float>& from, const std::vector<double>& factor) {
    moe::panels<float> to(1, from.outputs(), from.inputs());
    for (index_t e = 0; e < from.outputs(); ++e) {
        for (index_t first = 0; first < from.inputs(); first += 32) {
            const index_t last = std::min(first + 32, from.inputs());
            float largest = 0;
            for (index_t j = first; j < last; ++j) largest = std::max(largest, std::abs(from(0, e, j)));
            const float covering = float(moe::float16(largest / 7.0f));
            const float scale = float(moe::float16(float(covering * factor[std::size_t(e)])));
            for (index_t j = first; j < last; ++j) {
                to(0, e, j) = scale * std::clamp(std::nearbyint(from(0, e, j) / scale), -8.0f, 7.0f);
            }
        }
    }
    return to;
}

// Squares + lambda KL of a gate, from the formula, with all experts in M.
double objective(const moe::matrix<double>& wanted, const moe::matrix<double>& got, double lambda) {
    double sum = 0;
    for (index_t t = 0; t < wanted.rows(); ++t) {
        double p_sum = 0, q_sum = 0;
        for (index_t e = 0; e < wanted.cols(); ++e) {
            p_sum += std::exp(wanted(t, e));
            q_sum += std::exp(got(t, e));
            sum += std::pow(wanted(t, e) - got(t, e), 2);
        }
        for (index_t e = 0; e < wanted.cols(); ++e) {
            const double p = std::exp(wanted(t, e)) / p_sum, q = std::exp(got(t, e)) / q_sum;
            sum += lambda * p * std::log(p / q);
        }
    }
    return sum / wanted.rows();
}

}  // namespace

TEST_CASE("EAQuant [25]: smoothed channels leave logits and outputs alone, in the same bits with powers of two") {
    const auto x = with_outliers<double>(60, 24);
    const auto wanted = run(moe::layer{small_router<double>(24, 5), five_experts<double>(24)}, x);
    const smoothed<double> s(x, {});
    const auto got = run(moe::layer{s.router, s.bank}, s.x);
    CHECK(relative_error(got.y.view(), wanted.y.view()) <= tolerance<double>::value);
    CHECK(relative_error(logits_of(got).view(), logits_of(wanted).view()) <= tolerance<double>::value);
    // Channel 3 is 60 times the others, its weights are not: its scale is about sqrt(60) of theirs.
    CHECK(s.scales[3] > 3 * s.scales[4]);
    const auto x32 = with_outliers<float>(60, 24);
    const auto wanted32 = run(moe::layer{small_router<float>(24, 5), five_experts<float>(24)}, x32);
    const smoothed<float> exact(x32, {.powers_of_two = true});
    const auto got32 = run(moe::layer{exact.router, exact.bank}, exact.x);
    CHECK(moe::testing::same_bits(got32.y, wanted32.y));
    CHECK(moe::testing::same_bits(logits_of(got32), logits_of(wanted32)));
    CHECK_FALSE(moe::testing::same_bits(exact.x, x32));
}

TEST_CASE("EAQuant [25]: a scale is the largest that an expert or the router asks for") {
    moe::relu_bank<double> bank{{.features = 5, .hidden = 1, .experts = 2}};
    moe::panels<double> router(1, 2, 5);
    const double up[2][5] = {{4, 1, 0, 1e20, 0}, {-1, 0.25, 0, 0, 0}};
    for (index_t e = 0; e < 2; ++e) {
        for (index_t j = 0; j < 5; ++j) bank.up(e, 0, j) = up[e][j];
    }
    router(0, 1, 0) = -16;
    router(0, 0, 4) = 0.25;
    moe::matrix<double> x(2, 5);
    const double rows[2][5] = {{-4, 0, 0, 1, 0}, {9, 1, 5, 0, -1}};
    for (index_t t = 0; t < 2; ++t) std::copy_n(rows[t], 5, &x(t, 0));
    const hand_plan routes(2, {0, 1, 2}, {0, 1});  // token 0 to expert 0, token 1 to expert 1
    const auto scales = [&](const moe::smoothing_options& o) {
        return moe::channel_scales(bank, router, x, routes.view(), o);
    };
    // sqrt(9 / 1) and sqrt(1 / 0.25) of expert 1, no reader, the floor above sqrt(1 / 1e20) of expert 0, sqrt(1 / 0.25)
    // of the router.
    CHECK(scales({}) == std::vector<double>{3, 2, 1, 1e-5, 2});
    CHECK(scales({.powers_of_two = true}) == std::vector<double>{4, 2, 1, std::exp2(-17), 2});
    CHECK(scales({.balance = 1}) == std::vector<double>{9, 1, 1, 1, 1});
    CHECK(scales({.balance = 0, .least = 0.5}) == std::vector<double>{1, 4, 1, 0.5, 4});
    moe::swiglu_bank<double> gated{{.features = 1, .hidden = 1, .experts = 1}};
    gated.up(0, 0, 0) = 1;
    gated.gate(0, 0, 0) = -4;
    moe::matrix<double> four(1, 1);
    four(0, 0) = 4;
    const hand_plan alone(1, {0, 1}, {0});
    CHECK(moe::channel_scales(gated, moe::panels<double>(1, 1, 1), four, alone.view()) == std::vector<double>{1});
    CHECK_THROWS_WITH(scales({.balance = 2}), Catch::Contains("smoothing_options.balance"));
    CHECK_THROWS_WITH(scales({.least = 0}), Catch::Contains("smoothing_options.least"));
    CHECK_THROWS_WITH(moe::multiply_channels(bank, std::vector<double>{1, 2}), Catch::Contains("channel scales"));
    CHECK_THROWS_WITH(moe::multiply_channels(router, std::vector<double>{1, 0, 2, 1, 1}),
                      Catch::Contains("channel scale 1"));
    CHECK_THROWS_WITH(moe::channel_scales(bank, moe::panels<double>(1, 2, 6), x, routes.view()),
                      Catch::Contains("router inputs"));
    x(1, 2) = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH(scales({}), Catch::Contains("x(1, 2)"));
}

TEST_CASE("EAQuant [25]: a layer in codes errs less once its channels are smoothed") {
    const auto x = with_outliers<float>(200, 64);
    const auto wanted = run(moe::layer{small_router<float>(64, 5), five_experts<float>(64)}, x).y;
    const auto error = [&](const auto& router, const auto& bank, const moe::matrix<float>& rows) {
        const auto got = run(moe::layer{router, moe::quantize_bank<moe::int8_weights<32>>(bank)}, rows).y;
        return relative_error(got.view(), wanted.view());
    };
    const smoothed<float> s(x, {.powers_of_two = true});
    const double before = error(small_router<float>(64, 5), five_experts<float>(64), x);
    const double after = error(s.router, s.bank, s.x);
    CAPTURE(before, after);
    // The step of a row is its largest input over 127; folding takes about sqrt(60) from it, which is worth more than
    // what the steps of the weights gain. Five draws of x gave 0.19 to 0.43.
    CHECK(after < 0.6 * before);
}

TEST_CASE("EAQuant [25]: a router in 16 bits routes as before, and a searched one in 4 better than a rounded one") {
    const auto x = with_outliers<float>(80, 24);
    moe::linear_gate<float> gate{{.features = 24, .experts = 3, .bias = true, .seed = 5}};
    for (index_t j = 0; j < 24; j += 5) gate.weight(0, j % 3, j) *= 4;
    gate.bias(0, 1) = 0.5f;
    moe::cpu cpu;
    const auto half = moe::quantize_gate<moe::f16_weights>(cpu, gate, x, {.k = 2});
    CHECK(half.error.kl < 1e-6);
    CHECK(half.error.kl > 0);
    const auto two = moe::quantize_gate<moe::int4_weights<32>>(cpu, gate, x, {.k = 1, .further = 0.5});
    const auto plain = exact_logits(gate.weight, gate.bias, x), coded = exact_logits(two.gate.weight, gate.bias, x);
    CHECK(two.error.kl == Approx(moe::routing_kl(plain.view(), coded, 2)).epsilon(1e-4));
    for (const double lambda : {1.0, 100.0}) {
        const auto four =
            moe::quantize_gate<moe::int4_weights<32>>(cpu, gate, x, {.k = 1, .further = 1, .routing = lambda});
        const auto total = [&](const moe::gate_error& e) { return e.squares + lambda * e.kl; };
        const auto wanted = exact_logits(gate.weight, gate.bias, x);
        const auto with = [&](const std::vector<double>& factor) {
            return objective(wanted, exact_logits(clipped(gate.weight, factor), gate.bias, x), lambda);
        };
        const auto got = exact_logits(four.gate.weight, four.gate.bias, x);
        CHECK(total(four.error) == Approx(objective(wanted, got, lambda)).epsilon(1e-4));
        CHECK(four.error.kl == Approx(moe::routing_kl(wanted.view(), got, 3)).epsilon(1e-4));
        CHECK(total(four.nearest) == Approx(with({1, 1, 1})).epsilon(1e-4));
        CHECK(total(four.error) == Approx(with(four.clip)).epsilon(1e-4));
        CHECK(total(four.error) < total(four.nearest));
        // No single factor does better with the others as they are.
        for (std::size_t e = 0; e < 3; ++e) {
            for (int i = 0; i < 11; ++i) {
                auto other = four.clip;
                other[e] = 1.0 - 0.05 * i;
                CHECK(with(other) >= total(four.error) * (1 - 1e-4));
            }
        }
    }
}

TEST_CASE("EAQuant [25]: the divergence of routes is over the foremost experts alone, and its inputs are checked") {
    moe::matrix<double> z(1, 4), changed(1, 4);
    const double rows[2][4] = {{std::log(3.0), 0, -50, -std::numeric_limits<double>::infinity()}, {0, 0, 7, 7}};
    std::copy_n(rows[0], 4, &z(0, 0));
    std::copy_n(rows[1], 4, &changed(0, 0));
    // 3/4 ln(3/4 / 1/2) + 1/4 ln(1/4 / 1/2)
    CHECK(moe::routing_kl(std::as_const(z).view(), changed, 2) ==
          Approx(0.75 * std::log(1.5) + 0.25 * std::log(0.5)).epsilon(1e-14));
    CHECK(moe::routing_kl(std::as_const(z).view(), z, 2) == 0);
    CHECK(moe::routing_kl(std::as_const(z).view(), z, 4) == 0);  // the last is in no M
    CHECK_THROWS_WITH(moe::routing_kl(std::as_const(z).view(), changed, 5), Catch::Contains("1 to 4"));
    CHECK_THROWS_WITH(moe::routing_kl(std::as_const(z).view(), moe::matrix<double>(1, 3), 1),
                      Catch::Contains("[1, 3]"));
    moe::linear_gate<float> gate{{.features = 4, .experts = 3}};
    moe::matrix<float> x(2, 4);
    moe::cpu cpu;
    const auto round = [&](const moe::gate_rounding& o) {
        return moe::quantize_gate<moe::f16_weights>(cpu, gate, x, o);
    };
    CHECK_THROWS_WITH(round({.k = 4}), Catch::Contains("gate_rounding.k"));
    CHECK_THROWS_WITH(round({.further = 1.5}), Catch::Contains("gate_rounding.further"));
    CHECK_THROWS_WITH(round({.routing = -1}), Catch::Contains("gate_rounding.routing"));
    x(1, 0) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(round({}), Catch::Contains("features(1, 0)"));
    x = moe::matrix<float>(2, 3);
    CHECK_THROWS_WITH(round({}), Catch::Contains("features columns"));
    x = moe::matrix<float>(0, 4);
    CHECK(round({}).error.kl == 0);
    gate.weight(0, 2, 1) = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(round({}), Catch::Contains("weight(2, 1)"));
}

TEST_CASE("EAQuant [25]: calibration is topped up until every expert has its rows or no sequence can help it") {
    moe::matrix<index_t> pool(4, 3);
    const index_t loads[4][3] = {{9, 1, 0}, {0, 3, 0}, {1, 3, 0}, {5, 4, 0}};
    for (index_t s = 0; s < 4; ++s) std::copy_n(loads[s], 3, &pool(s, 0));
    const std::vector<index_t> counts{10, 2, 0};
    const auto to = moe::balance_calibration(counts, pool.view());  // needed: 2 * 12 / 3 = 8
    CHECK(to.needed == 8);
    CHECK(to.sequences == std::vector<index_t>{3, 1});
    CHECK(to.counts == std::vector<std::int64_t>{15, 9, 0});
    CHECK(moe::balance_calibration(counts, pool.view(), 0).sequences.empty());
    const std::vector<index_t> none;
    CHECK(moe::balance_calibration(none, moe::matrix<index_t>(0, 0).view()).sequences.empty());
    CHECK_THROWS_WITH(moe::balance_calibration(counts, moe::matrix<index_t>(1, 2).view()), Catch::Contains("pool"));
    CHECK_THROWS_WITH(moe::balance_calibration(counts, pool.view(), -1), Catch::Contains("ratio"));
    pool(2, 1) = -1;
    CHECK_THROWS_WITH(moe::balance_calibration(counts, pool.view()), Catch::Contains("pool"));
    // Tokens 0 and 1 are the first sequence, the second is empty, token 2 is the third.
    const hand_plan routes(3, {0, 2, 4}, {0, 2, 1, 2});
    const auto rows = moe::sequence_loads(routes.view(), std::vector<index_t>{0, 2, 2, 3});
    const index_t wanted[3][2] = {{1, 1}, {0, 0}, {1, 1}};
    for (index_t s = 0; s < 3; ++s) CHECK(std::equal(wanted[s], wanted[s] + 2, &rows(s, 0)));
    CHECK(moe::sequence_loads(routes.view(), {})(0, 1) == 2);
    CHECK_THROWS_WITH(moe::sequence_loads(routes.view(), std::vector<index_t>{0, 2}), Catch::Contains("sequence"));
    CHECK_THROWS_WITH(moe::sequence_loads(routes.view(), std::vector<index_t>{0, 2, 1, 3}),
                      Catch::Contains("sequence[2]"));
}

TEST_CASE("EAQuant [25]: experts that got no row are calibrated on what the chosen sequences bring them") {
    // Sixteen sequences of four tokens; the first two are the calibration batch, the others the pool.
    auto all = moe::testing::random_matrix<float>(64, 24, 9);
    const moe::layer layer{small_router<float>(24, 12, 1), moe::swiglu_bank<float>{{.features = 24, .hidden = 16,
                                                                                  .experts = 12, .seed = 3}}};
    std::vector<index_t> offsets;
    for (index_t s = 0; s <= 16; ++s) offsets.push_back(4 * s);
    const auto whole = run(layer, all);
    const auto loads = moe::sequence_loads(whole.tape.plan(), offsets);
    std::vector<index_t> counts;
    for (index_t e = 0; e < 12; ++e) counts.push_back(loads(0, e) + loads(1, e));
    const auto more = moe::balance_calibration(counts, loads.view().middle_rows(2, 14));
    REQUIRE(std::count(counts.begin(), counts.end(), 0) > 0);
    REQUIRE_FALSE(more.sequences.empty());
    CHECK(std::set<index_t>(more.sequences.begin(), more.sequences.end()).size() == more.sequences.size());
    moe::matrix<float> x(8 + 4 * static_cast<index_t>(more.sequences.size()), 24);
    std::copy_n(&all(0, 0), 8 * 24, &x(0, 0));
    for (std::size_t i = 0; i < more.sequences.size(); ++i) {
        std::copy_n(&all(8 + 4 * more.sequences[i], 0), 4 * 24, &x(8 + 4 * static_cast<index_t>(i), 0));
    }
    const auto calibrated = run(layer, x);
    moe::cpu cpu;
    const auto report =
        moe::quantize_bank<moe::int4_weights<32>>(cpu, layer.experts(), x, calibrated.tape.plan()).report;
    for (index_t e = 0; e < 12; ++e) {
        const std::size_t i = std::size_t(e);
        CHECK(report.experts[i].rows == more.counts[i]);
        if (double(more.counts[i]) >= more.needed) continue;
        for (index_t s = 2; s < 16; ++s) {
            const bool used = std::count(more.sequences.begin(), more.sequences.end(), s - 2) != 0;
            CHECK((used || loads(s, e) == 0));
        }
    }
}
