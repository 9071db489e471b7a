#include "experts/storages.hpp"
#include "moe/io/save.hpp"
#include "moe/layer/any_layer.hpp"
#include "moe/train/adamw.hpp"
#include "moe/train/sgd.hpp"

using namespace storages;

TEMPLATE_TEST_CASE("short weights: optimisers change the masters and the packed weights with them", "",
                   moe::bf16_with_masters, moe::f16_with_masters) {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto check = [&](const auto& step) {
        auto layer = make_layer<TestType>();
        check_packed(layer.experts());
        const float before = layer.experts().up(0, 0, 0);
        auto trained = moe::testing::train_once(cpu, layer, of(x));
        step(layer, trained.gradient);
        check_packed(layer.experts());
        CHECK(layer.experts().up(0, 0, 0) != before);
    };
    check([&](auto& layer, auto& g) { moe::adamw{}.step(layer, g); });
    check([&](auto& layer, auto& g) { moe::adamw{}.step(cpu, layer, g); });
    check([&](auto& layer, auto& g) { moe::sgd{{.learning_rate = 0.1}}.step(cpu, layer, g); });
    check([&](auto& layer, auto& g) { moe::sgd{{.learning_rate = 0.1, .momentum = 0.9}}.step(layer, g); });
}

TEST_CASE("bfloat16 weights behind any_layer are trained, packed and saved as in the layer itself") {
    auto layer = make_layer<moe::bf16_with_masters>();
    moe::any_layer<float> any = layer;
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    auto trained = moe::testing::train_once(cpu, layer, of(x));
    auto any_trained = moe::testing::train_once(cpu, any, of(x));
    moe::sgd{{.learning_rate = 0.1}}.step(layer, trained.gradient);
    moe::sgd{{.learning_rate = 0.1}}.step(any, any_trained.gradient);
    CHECK(moe::testing::same_bits(moe::testing::infer(cpu, layer, of(x)), moe::testing::infer(cpu, any, of(x))));
    CHECK(moe::to_bytes(layer) == moe::to_bytes(any));
    const auto check_frozen = [](auto frozen) {
        moe::any_layer<float> any_frozen = frozen;
        CHECK(moe::to_bytes(frozen) == moe::to_bytes(any_frozen));
    };
    check_frozen(make_layer<moe::bf16_weights>());
    check_frozen(make_layer<moe::f16_weights>());
}

TEMPLATE_TEST_CASE("short weights are saved in their format, masters as floats that a float layer loads too", "",
                   moe::bf16_weights, moe::f16_weights) {
    constexpr bool f16 = std::is_same_v<TestType, moe::f16_weights>;
    using with_masters = std::conditional_t<f16, moe::f16_with_masters, moe::bf16_with_masters>;
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    const auto infer = [&](const auto& layer) { return moe::testing::infer(cpu, layer, of(x)); };
    auto masters = make_layer<with_masters>();
    auto packed = make_layer<TestType>();
    auto plain = make_layer<moe::same_scalar>();
    const auto bytes = moe::to_bytes(packed);
    CHECK(bytes.size() < moe::to_bytes(masters).size() * 6 / 10);
    CHECK(moe::to_bytes(masters) == moe::to_bytes(plain));

    auto different = options;
    different.seed = 9;
    auto other = around(bank_of<TestType>{different});
    CHECK_FALSE(moe::testing::same_bits(infer(other), infer(packed)));
    moe::from_bytes(bytes, other);
    CHECK(moe::testing::same_bits(infer(other), infer(packed)));

    for (float& w : plain.experts().up.span()) w *= 2;
    moe::from_bytes(moe::to_bytes(plain), masters);
    check_packed(masters.experts());
    CHECK_THROWS_WITH(moe::from_bytes(moe::to_bytes(plain), packed),
                      Catch::Contains(f16 ? "float16" : "bfloat16") && Catch::Contains("float32"));
}

TEST_CASE("bfloat16 weights of one expert are set and read as a plain matrix") {
    moe::matrix<double> w(70, 21), back(70, 21);
    for (std::size_t i = 0; i < w.size(); ++i) w.span()[i] = 1.0 + double(i % 300) / 256;
    const auto check = [&](auto bank, bool exact) {
        bank.up.assign(2, w.view());
        bank.up.read(2, back.view());
        for (std::size_t i = 0; i < w.size(); ++i) {
            const double wanted = exact ? w.span()[i] : double(float(moe::bfloat16(w.span()[i])));
            if (back.span()[i] != wanted) FAIL("read " << back.span()[i] << ", wanted " << wanted);
        }
        CHECK(float(bank.up.packed()(2, 1, 5)) == float(moe::bfloat16(w(1, 5))));
        CHECK_THROWS_AS(bank.up.assign(4, w.view()), moe::value_error);
        moe::matrix<double> wrong(70, 20);
        CHECK_THROWS_AS(bank.up.assign(0, wrong.view()), moe::shape_error);
    };
    check(bank_of<moe::bf16_weights>{options}, false);
    check(bank_of<moe::bf16_with_masters>{options}, true);
}

TEST_CASE("float16 weights round what they are given, and say infinity where they cannot hold it") {
    bank_of<moe::f16_weights> bank{options};
    moe::matrix<double> w(70, 21);
    w(3, 5) = 1.0 + 3 * std::ldexp(1.0, -11);
    w(69, 20) = -1e6;
    bank.up.assign(3, w.view());
    CHECK(float(bank.up(3, 3, 5)) == 1.001953125f);
    CHECK(float(bank.up(3, 69, 20)) == -std::numeric_limits<float>::infinity());
}
