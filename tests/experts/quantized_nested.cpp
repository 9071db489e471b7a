// tests/experts: banks of 8 bits whose upper bits serve as banks of 4 and 2
// SPDX-License-Identifier: Apache-2.0
#include "experts/storages.hpp"
#include "moe/experts/nested_bank.hpp"
#include "moe/io/save.hpp"
#include "moe/metrics/quantization_table.hpp"

using namespace storages;

namespace {

constexpr moe::bank_options sizes{.features = 21, .hidden = 70, .experts = 4, .bias = true, .seed = 3, .outputs = 9};

moe::swiglu_bank<float> heavy_bank() {
    moe::swiglu_bank<float> bank{sizes};
    moe::detail::for_each_product([](auto& w) {
        for (float& v : w.span()) v *= 1 + 200 * v * v;
    }, bank);
    fill_random(bank.up_bias, 5, 0.1);
    fill_random(bank.down_bias, 6, 0.1);
    return bank;
}

// Tokens to experts 0 to 2 in turn, none to the last.
struct thirds {
    std::vector<index_t> offset{0}, token;
    moe::plan_view plan;

    explicit thirds(index_t tokens) {
        for (index_t e = 0; e < 4; ++e) {
            for (index_t t = e; e < 3 && t < tokens; t += 3) token.push_back(t);
            offset.push_back(static_cast<index_t>(token.size()));
        }
        plan.tokens = tokens;
        plan.offset = offset;
        plan.token = token;
    }
};

template <class Layer>
moe::matrix<float> infer(const Layer& layer, const moe::matrix<float>& x) {
    moe::cpu cpu{{.threads = 2}};
    return moe::testing::infer(cpu, layer, of(x));
}

}  // namespace

TEST_CASE("one bank of 8 bits is three: each prefix runs as its decoded weights do, nearer with more bits") {
    const auto bank = heavy_bank();
    const auto nested = moe::quantize_bank<moe::int8_weights<32>>(bank);
    const auto x = moe::testing::random_matrix<float>(60, 21, 4);
    const auto wanted = infer(around(bank), x);
    const auto check = [&](const auto& width) {
        const auto y = infer(around(width), x);
        // Rounding of activations to 8 bits is all that is between them.
        CHECK(relative_error(y.view(), infer(around(moe::dequantize_bank(width)), x).view()) < 0.02);
        CHECK(moe::testing::same_bits(width.up_bias, bank.up_bias));
        return relative_error(y.view(), wanted.view());
    };
    const double of_8 = check(nested);
    const double of_4 = check(moe::prefix_bank<4>(nested));
    const double of_2 = check(moe::prefix_bank<2>(nested));
    CAPTURE(of_8, of_4, of_2);
    CHECK(of_8 < 0.03);
    CHECK(of_8 < of_4 / 4);
    CHECK(of_4 < of_2 / 2.5);
    CHECK(of_2 < 0.9);
}

TEST_CASE("scales searched for all widths err less than rounded ones, and for no expert more") {
    const auto bank = heavy_bank();
    const auto x = moe::testing::random_matrix<float>(90, 21, 5);
    const thirds routes(90);
    moe::cpu cpu;
    const auto rounded = moe::quantize_bank<moe::int8_weights<32>>(bank);
    const auto nearest = moe::measure_nested(cpu, bank, rounded, x, routes.plan);
    const moe::width_importance importance{.bits_8 = 1, .bits_4 = 1, .bits_2 = 1};
    const auto [nested, report] = moe::quantize_nested<32>(cpu, bank, x, routes.plan, importance);
    const auto of_4 = moe::prefix_bank<4>(nested);
    const auto of_2 = moe::prefix_bank<2>(nested);
    CHECK(moe::measure_quantization(cpu, bank, of_4, x, routes.plan).experts[0].output_error ==
          report.bits_4.experts[0].output_error);
    CHECK(of_2.up.bits_per_weight() < of_4.up.bits_per_weight());
    const auto again = moe::measure_nested(cpu, bank, nested, x, routes.plan);
    const auto joint = [](const moe::nested_report& r, std::size_t e) {
        return std::pow(r.bits_8.experts[e].output_error, 2) + std::pow(r.bits_4.experts[e].output_error, 2) +
               std::pow(r.bits_2.experts[e].output_error, 2);
    };
    double sum = 0, rounded_sum = 0;
    for (std::size_t e = 0; e < 3; ++e) {
        CAPTURE(e);
        CHECK(report.bits_2.experts[e].output_error == again.bits_2.experts[e].output_error);
        CHECK(report.bits_8.experts[e].rows == 30);
        CHECK(report.bits_8.experts[e].output_error < report.bits_4.experts[e].output_error);
        CHECK(report.bits_4.experts[e].output_error < report.bits_2.experts[e].output_error);
        CHECK(joint(report, e) <= joint(nearest, e));
        sum += joint(report, e);
        rounded_sum += joint(nearest, e);
    }
    CHECK(sum < 0.95 * rounded_sum);
    CHECK(report.bits_4.experts[3].rows == 0);
    CHECK(report.bits_4.experts[3].scales == moe::scale_origin::nearest);
    CHECK(moe::testing::same_bits(moe::detail::decoded_matrix(nested.down, 3),
                                  moe::detail::decoded_matrix(rounded.down, 3)));
    CHECK(moe::quantization_table(report.bits_2).find("searched") != std::string::npos);
}

TEST_CASE("a search for nested scales names an importance that is none") {
    const moe::swiglu_bank<float> bank{sizes};
    const auto x = moe::testing::random_matrix<float>(6, 21, 5);
    const thirds routes(6);
    moe::cpu cpu;
    const auto run = [&](const moe::width_importance& importance) {
        return moe::quantize_nested<32>(cpu, bank, x, routes.plan, importance);
    };
    CHECK_THROWS_WITH(run({.bits_4 = -1}), Catch::Contains("importance of 4 bits") && Catch::Contains("-1"));
    CHECK_THROWS_AS(run({.bits_8 = std::numeric_limits<double>::quiet_NaN()}), moe::value_error);
    const moe::matrix<float> narrow(6, 20);
    CHECK_THROWS_AS(moe::quantize_nested<32>(cpu, bank, narrow, routes.plan, {.bits_8 = 1}), moe::shape_error);
}

TEST_CASE("prefixes of 2 bits are saved under a name of their own, and no other format loads them") {
    const auto nested = moe::quantize_bank<moe::int8_weights<32>>(heavy_bank());
    auto layer = around(moe::prefix_bank<2>(nested));
    const auto bytes = moe::to_bytes(layer);
    auto other = around(bank_of<moe::int2_zero_weights<32>>{options});
    moe::from_bytes(bytes, other);
    const auto x = moe::testing::random_matrix<float>(9, 21, 4);
    CHECK(moe::testing::same_bits(infer(other, x), infer(layer, x)));
    auto ternary = around(bank_of<moe::ternary_weights<32>>{options});
    CHECK_THROWS_WITH(moe::from_bytes(bytes, ternary),
                      Catch::Contains("ternary codes of 2 bits") && Catch::Contains("32 inputs, zero points"));
}
