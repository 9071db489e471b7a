// tests/experts: codes that are trained by way of the floats they are rounded from
// SPDX-License-Identifier: Apache-2.0
#include "experts/storages.hpp"
#include "moe/experts/masters.hpp"
#include "moe/experts/nested_bank.hpp"
#include "moe/io/save.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/train/adamw.hpp"
#include "moe/train/sgd.hpp"

using namespace storages;

namespace {

template <class Bank>
auto with_constant_weights(const Bank& bank) {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 21, .experts = 4, .seed = 5}}, moe::softmax{},
                                  moe::top_k{.k = 2}, moe::constant_weights{}},
                      bank};
}

// Rounding these rows to 8 bits changes nothing.
moe::matrix<float> unrounded(index_t rows) {
    moe::matrix<float> x(rows, 21);
    for (index_t t = 0; t < rows; ++t) {
        for (index_t k = 0; k < 21; ++k) x(t, k) = float((t * 37 + k * 61) % 255 - 127) / 64;
        x(t, t % 21) = 127.0f / 64;
    }
    return x;
}

template <class Bank, class Other>
void check_same_codes(const Bank& bank, const Other& other) {
    moe::detail::for_each_product([](const auto& a, const auto& b) {
        const auto left = moe::flat(a.packed()), right = moe::flat(b.packed());
        REQUIRE(left.size() == right.size());
        CHECK(std::memcmp(left.data(), right.data(), left.size()) == 0);
    }, bank, other);
}

// Adds the gradient of |y - target|^2 / 2, and returns that.
template <class Layer, class Gradient>
double add_gradient(moe::cpu& cpu, const Layer& layer, const moe::matrix<float>& x, const moe::matrix<float>& target,
                    Gradient& gradient) {
    moe::tape<float> tape;
    moe::matrix<float> y(x.rows(), 9), dx(x.rows(), 21);
    layer.forward(cpu, of(x), y.view(), tape);
    double loss = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        y.span()[i] -= target.span()[i];
        loss += 0.5 * double(y.span()[i]) * double(y.span()[i]);
    }
    layer.backward(cpu, y.view(), tape, dx.view(), gradient);
    return loss;
}

}  // namespace

TEMPLATE_TEST_CASE("codes with masters: a master gets the gradient of its decoded weight (straight-through)", "",
                   moe::ternary_with_masters<32>, (moe::nested_with_masters<2, 32>)) {
    const bank_of<TestType> bank{options};
    bank_of<moe::same_scalar> decoded{options};
    decode_into(bank, decoded);
    const auto x = unrounded(33);
    moe::cpu cpu{{.threads = 2}};
    auto got = moe::testing::train_once(cpu, with_constant_weights(bank), of(x));
    const auto plain = with_constant_weights(decoded);
    auto wanted = moe::testing::train_once(cpu, plain, of(x));
    CHECK(relative_error(got.dx.view(), wanted.dx.view()) <= tolerance<float>::gradient);
    const auto& a = std::get<1>(got.gradient);
    const auto& b = std::get<1>(wanted.gradient);
    moe::detail::for_each_product([](const auto& mine, const auto& of_decoded) {
        for (index_t g = 0; g < 4; ++g) {
            CHECK(relative_error(moe::detail::decoded_matrix(mine, g).view(),
                                 moe::detail::decoded_matrix(of_decoded, g).view()) <= tolerance<float>::gradient);
        }
    }, a, b);
}

TEST_CASE("codes with masters: steps too small for another code add up until there is one") {
    auto layer = around(bank_of<moe::ternary_with_masters<32>>{options});
    const auto before = moe::detail::decoded_matrix(layer.experts().up, 0);
    auto gradient = moe::make_gradient(layer);
    auto& g = std::get<1>(gradient).up;
    g(0, 3, 5) = before(3, 5) > 0 ? 1.0f : -1.0f;  // towards 0
    moe::sgd optimiser{{.learning_rate = 2e-3}};
    int steps = 0;
    while (moe::detail::decoded_matrix(layer.experts().up, 0)(3, 5) * before(3, 5) > 0 && steps < 1000) {
        optimiser.step(layer, gradient);
        ++steps;
    }
    CAPTURE(before(3, 5));
    CHECK(before(3, 5) != 0);
    CHECK(steps > 3);
    CHECK(steps < 1000);
}

TEST_CASE("codes with masters: masters are saved, loaded and stepped on any threads, and codes follow") {
    using storage = moe::ternary_with_masters<moe::whole_rows, moe::scale_per_matrix>;
    auto layer = around(bank_of<storage>{options});
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto follows = [](const bank_of<storage>& bank) {
        check_same_codes(bank, moe::round_masters<storage>(bank));
    };
    auto serial = layer;
    auto trained = moe::testing::train_once(cpu, layer, of(x));
    moe::adamw{}.step(cpu, layer, trained.gradient);
    moe::adamw{}.step(serial, trained.gradient);
    follows(layer.experts());
    check_same_codes(layer.experts(), serial.experts());
    // The float layer has the same file.
    auto plain = around(moe::round_masters<moe::same_scalar>(layer.experts()));
    auto other = around(bank_of<storage>{options});
    moe::from_bytes(moe::to_bytes(plain), other);
    check_same_codes(layer.experts(), other.experts());
    const auto& up = layer.experts().up.packed();
    for (index_t n = 0; n < 70; ++n) CHECK(up.scale(2, n, 0).scale == up.scale(2, 0, 0).scale);
}

TEST_CASE("without_masters keeps the codes, in all storages, and runs with the same bits") {
    const auto x = moe::testing::random_matrix<float>(30, 21, 2);
    moe::cpu cpu;
    const auto check = [&]<class Storage>(Storage) {
        const bank_of<Storage> bank{options};
        const auto deployed = moe::without_masters(bank);
        check_same_codes(bank, deployed);
        CHECK(moe::testing::same_bits(moe::testing::infer(cpu, around(bank), of(x)),
                                      moe::testing::infer(cpu, around(deployed), of(x))));
    };
    check(moe::bf16_with_masters{});
    check(moe::int8_with_masters<32>{});
    check(moe::packed_ternary_with_masters<>{});
}

TEST_CASE("nested masters: every width of a trained bank is the prefix of its codes of 8 bits") {
    const bank_of<moe::nested_with_masters<8, 32>> bank{options};
    const auto whole = moe::without_masters(bank);
    check_same_codes(moe::round_masters<moe::nested_with_masters<4, 32>>(bank), moe::prefix_bank<4>(whole));
    check_same_codes(moe::round_masters<moe::nested_with_masters<2, 32>>(bank), moe::prefix_bank<2>(whole));
    check_same_codes(moe::round_masters<moe::int8_with_masters<32>>(bank), whole);
}

TEST_CASE("nested masters: trained on the losses of 8 and 2 bits together, 2 bits err less than when 8 are trained") {
    auto other = options;
    other.seed = 9;
    const auto x = moe::testing::random_matrix<float>(64, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto target = moe::testing::infer(cpu, around(bank_of<moe::same_scalar>{other}), of(x));
    const auto trained = [&](bool both) {
        auto layer = around(bank_of<moe::nested_with_masters<8, 32>>{options});
        moe::adamw optimiser{{.learning_rate = 0.01}};
        double of_8 = 0, of_2 = 0;
        for (int step = 0; step < 80; ++step) {
            const moe::layer prefix{layer.router(),
                                    moe::round_masters<moe::nested_with_masters<2, 32>>(layer.experts())};
            auto gradient = moe::make_gradient(layer);
            auto unused = moe::make_gradient(layer);
            of_8 = add_gradient(cpu, layer, x, target, gradient);
            of_2 = add_gradient(cpu, prefix, x, target, both ? gradient : unused);
            optimiser.step(layer, gradient);
        }
        return std::pair{of_8, of_2};
    };
    const auto [alone_8, alone_2] = trained(false);
    const auto [both_8, both_2] = trained(true);
    CAPTURE(alone_8, alone_2, both_8, both_2);
    CHECK(both_2 < 0.7 * alone_2);
    CHECK(both_8 < both_2);
}
