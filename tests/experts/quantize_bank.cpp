// tests/experts: banks turned into banks of fewer bits, and what that costs each expert
// SPDX-License-Identifier: Apache-2.0
#include "experts/storages.hpp"
#include "moe/experts/quantize_bank.hpp"
#include "moe/metrics/quantization_table.hpp"

using namespace storages;

namespace {

// Features of very different size, as trained models have them, and heavy-tailed weights.
moe::matrix<float> uneven_rows(index_t tokens, index_t features) {
    auto x = moe::testing::random_matrix<float>(tokens, features, 5);
    for (index_t t = 0; t < tokens; ++t) {
        for (index_t k = 0; k < features; k += 5) x(t, k) *= 12;
    }
    return x;
}

template <class Bank>
void make_heavy(Bank& bank) {
    moe::detail::for_each_product([](auto& w) {
        for (index_t g = 0; g < w.groups(); ++g) {
            for (index_t n = 0; n < w.outputs(); ++n) {
                for (index_t k = 0; k < w.inputs(); ++k) w(g, n, k) *= 1 + 200 * w(g, n, k) * w(g, n, k);
            }
        }
    }, bank);
}

// A plan made by hand: tokens 0..T-1 to expert t % (experts - 1), so that the last expert sees none.
struct spread {
    std::vector<index_t> offset{0}, token;
    moe::plan_view plan;

    spread(index_t tokens, index_t experts) {
        for (index_t e = 0; e < experts; ++e) {
            for (index_t t = e; e + 1 < experts && t < tokens; t += experts - 1) token.push_back(t);
            offset.push_back(static_cast<index_t>(token.size()));
        }
        plan.tokens = tokens;
        plan.offset = offset;
        plan.token = token;
    }
};

template <class Storage, class A>
void check_search(const moe::ffn_bank<float, A>& bank) {
    moe::cpu cpu;
    const index_t tokens = 90;
    const auto x = uneven_rows(tokens, bank.features());
    const spread routes(tokens, bank.experts());
    const auto rounded = moe::quantize_bank<Storage>(bank);
    const auto nearest = moe::measure_quantization(cpu, bank, rounded, x, routes.plan);
    const auto [searched, report] = moe::quantize_bank<Storage>(cpu, bank, x, routes.plan);
    const auto again = moe::measure_quantization(cpu, bank, searched, x, routes.plan);
    double sum = 0, rounded_sum = 0;
    REQUIRE(report.experts.size() == std::size_t(bank.experts()));
    for (std::size_t e = 0; e + 1 < report.experts.size(); ++e) {
        CAPTURE(e);
        CHECK(report.experts[e].output_error == again.experts[e].output_error);
        CHECK(report.experts[e].output_error <= nearest.experts[e].output_error);
        CHECK(report.experts[e].rows == 30);
        CHECK(report.experts[e].bits_per_weight > Storage::template weights<float>::format::bits);
        CHECK(report.experts[e].worst_group >= report.experts[e].weight_error);
        sum += report.experts[e].output_error;
        rounded_sum += nearest.experts[e].output_error;
    }
    CHECK(sum < 0.97 * rounded_sum);
    const auto& unseen = report.experts.back();
    CHECK((unseen.rows == 0 && unseen.scales == moe::scale_origin::nearest && std::isnan(unseen.output_error)));
    const index_t last = bank.experts() - 1;
    CHECK(moe::testing::same_bits(moe::detail::decoded_matrix(searched.up, last),
                                  moe::detail::decoded_matrix(rounded.up, last)));
    CHECK(moe::quantization_table(report).find("nearest, no routes") != std::string::npos);
    CHECK(moe::testing::same_bits(moe::quantize_bank<Storage>(moe::dequantize_bank(searched)).up_bias,
                                  bank.up_bias));
}

}  // namespace

TEST_CASE("searched scales err less than rounding to nearest, for no expert more, and unseen experts are rounded") {
    moe::swiglu_bank<float> gated{options};
    make_heavy(gated);
    check_search<moe::int4_weights<32>>(gated);
    check_search<moe::int4_zero_weights<64>>(gated);
    moe::relu_bank<float> plain{{.features = 40, .hidden = 33, .experts = 4, .seed = 7}};
    make_heavy(plain);
    check_search<moe::int4_weights<moe::whole_rows>>(plain);
}

TEST_CASE("a quantised bank decodes to the weights of its products, whatever the storage") {
    const moe::swiglu_bank<float> bank{options};
    const auto check = [&]<class Storage>(Storage, double bound) {
        const auto kept = moe::quantize_bank<Storage>(bank);
        const auto plain = moe::dequantize_bank(kept);
        moe::detail::for_each_product([&](const auto& w, const auto& decoded, const auto& from) {
            for (index_t g = 0; g < w.groups(); ++g) {
                CHECK(moe::testing::same_bits(moe::detail::decoded_matrix(w, g),
                                              moe::detail::decoded_matrix(decoded, g)));
                CHECK(relative_error(moe::detail::decoded_matrix(w, g).view(),
                                     moe::detail::decoded_matrix(from, g).view()) <= bound);
            }
        }, kept, plain, bank);
        CHECK(moe::testing::same_bits(kept.down_bias, bank.down_bias));
    };
    check(moe::same_scalar{}, 0);
    check(moe::f16_weights{}, 1e-3);
    check(moe::bf16_with_masters{}, 1e-2);
    check(moe::int8_weights<64>{}, 1e-2);
}

TEST_CASE("a scale search names activations and plans that do not fit") {
    const moe::swiglu_bank<float> bank{options};
    moe::cpu cpu;
    auto x = uneven_rows(6, 21);
    const spread routes(6, 4), fewer(6, 3), longer(7, 4);
    const auto run = [&](const moe::matrix<float>& rows, const moe::plan_view& plan) {
        return moe::quantize_bank<moe::int8_weights<32>>(cpu, bank, rows, plan);
    };
    CHECK_THROWS_WITH(run(uneven_rows(6, 20), routes.plan), Catch::Contains("x columns") && Catch::Contains("21"));
    CHECK_THROWS_WITH(run(x, fewer.plan), Catch::Contains("plan experts"));
    CHECK_THROWS_WITH(run(x, longer.plan), Catch::Contains("plan tokens"));
    x(4, 7) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(run(x, routes.plan), Catch::Contains("x(4, 7)"));
}

TEST_CASE("a scale search keeps groups of zeros and groups that are not finite as rounding leaves them") {
    using format = moe::code_format<4, 32>;
    const std::vector<double> moments(32, 1.0);
    std::vector<float> w(32, 0.0f);
    CHECK(moe::searched_scale<format>(w, moments).scale == 0);
    w[3] = std::numeric_limits<float>::infinity();
    CHECK(std::isnan(moe::searched_scale<format>(w, moments).scale));
    for (std::size_t k = 0; k < w.size(); ++k) w[k] = float(k % 7) - 3;
    CHECK(moe::weighted_error<format>(w, moments, moe::searched_scale<format>(w, moments)) < 0.1);
    const std::vector<double> unseen(32, 0.0);
    CHECK(moe::searched_scale<format>(w, unseen).scale == moe::covering_scale<format>(w).scale);
}
