#include "experts/storages.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/lora_bank.hpp"
#include "moe/experts/soft_merge_bank.hpp"
#include "moe/experts/weigh_hidden.hpp"
#include "moe/io/save.hpp"

using namespace storages;

namespace {

// Small whole numbers: every rounding to bfloat16 and every sum is exact.
template <class Storage>
auto layer_of_whole_numbers() {
    moe::ffn_bank<float, moe::relu, Storage> bank{{.features = 6, .hidden = 5, .experts = 3}};
    const auto fill = [](auto& w, index_t seed) {
        moe::matrix<float> m(w.outputs(), w.inputs());
        for (index_t g = 0; g < w.groups(); ++g) {
            for (index_t i = 0; i < m.rows(); ++i) {
                for (index_t j = 0; j < m.cols(); ++j) m(i, j) = float((3 * i + 5 * j + 7 * g + seed) % 5 - 2);
            }
            w.assign(g, m.view());
        }
    };
    fill(bank.up, 1);
    fill(bank.down, 2);
    return around(std::move(bank));
}

}  // namespace

TEMPLATE_TEST_CASE("short weights: with numbers that need no rounding, a bank computes and learns as one of floats", "",
                   moe::bf16_with_masters, moe::f16_with_masters) {
    auto plain = layer_of_whole_numbers<moe::same_scalar>();
    auto trained = layer_of_whole_numbers<TestType>();
    moe::matrix<float> x(7, 6);
    for (std::size_t i = 0; i < x.size(); ++i) x.span()[i] = float(i * 5 % 7) - 3;
    const auto check = [&](auto& backend) {
        auto wanted = moe::testing::train_once(backend, plain, of(x));
        auto got = moe::testing::train_once(backend, trained, of(x));
        CHECK(moe::testing::same_bits(got.y, wanted.y));
        CHECK(moe::testing::same_bits(got.dx, wanted.dx));
        CHECK(moe::testing::gradient_difference(plain, got.gradient, wanted.gradient) == "");
        double norm = 0;
        for (const float v : std::get<1>(got.gradient).up.span()) norm += std::abs(double(v));
        CHECK(norm > 1);
    };
    moe::reference reference;
    moe::cpu cpu{{.threads = 2}};
    check(reference);
    check(cpu);
}

TEST_CASE("bfloat16 weights: a layer is the float layer with rounded weights, but for the rounding of inputs") {
    const auto layer = make_layer<moe::bf16_with_masters>();
    auto plain = make_layer<moe::same_scalar>();
    decode_into(layer.experts(), plain.experts());
    const auto x = moe::testing::random_matrix<float>(33, 21, 1);
    moe::cpu cpu{{.threads = 2}};
    auto got = moe::testing::train_once(cpu, layer, of(x));
    auto wanted = moe::testing::train_once(cpu, plain, of(x));
    // One rounding of 2^-9 on average for x and one for h, averaged over the depth.
    CHECK(relative_error(got.y.view(), wanted.y.view()) < 2e-3);
    CHECK(relative_error(got.y.view(), wanted.y.view()) > 1e-6);
    CHECK(relative_error(got.dx.view(), wanted.dx.view()) < 4e-3);
    const auto& d = std::get<1>(got.gradient);
    const auto& d_wanted = std::get<1>(wanted.gradient);
    const auto rows = [](const moe::panels<float>& w) {
        return moe::matrix_view<const float>(w.span().data(), index_t(w.span().size()) / w.width, w.width);
    };
    CHECK(relative_error(rows(d.up), rows(d_wanted.up)) < 4e-3);
    CHECK(relative_error(rows(d.down), rows(d_wanted.down)) < 4e-3);
    CHECK(relative_error(d.gate_bias.view(), d_wanted.gate_bias.view()) < 4e-3);
    STATIC_REQUIRE(std::is_same_v<std::remove_cvref_t<decltype(d)>, bank_of<moe::same_scalar>>);
}

TEST_CASE("float16 weights: a layer has the bits of the float layer with rounded weights, forward and backward") {
    const auto layer = make_layer<moe::f16_with_masters>();
    auto plain = make_layer<moe::same_scalar>();
    decode_into(layer.experts(), plain.experts());
    const auto x = moe::testing::random_matrix<float>(33, 21, 1);
    const auto check = [&](auto& backend) {
        auto got = moe::testing::train_once(backend, layer, of(x));
        auto wanted = moe::testing::train_once(backend, plain, of(x));
        CHECK(moe::testing::same_bits(got.y, wanted.y));
        CHECK(moe::testing::same_bits(got.dx, wanted.dx));
        CHECK(moe::testing::gradient_difference(plain, got.gradient, wanted.gradient) == "");
        const auto not_rounded = moe::testing::infer(backend, make_layer<moe::same_scalar>(), of(x));
        CHECK_FALSE(moe::testing::same_bits(got.y, not_rounded));
    };
    moe::reference reference;
    moe::cpu cpu{{.threads = 2}};
    check(reference);
    check(cpu);
}

TEMPLATE_TEST_CASE("short weights keep the laws of layers", "", moe::bf16_weights, moe::bf16_with_masters,
                   moe::f16_weights) {
    const auto layer = make_layer<TestType>();
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    const auto check = [&](auto& backend) {
        CHECK(moe::testing::taped_equals_inference(backend, layer, of(x)) == "");
        CHECK(moe::testing::isolates_tokens(backend, layer, of(x)) == "");
        CHECK(moe::testing::independent_of_batch(backend, layer, of(x)) == "");
    };
    moe::reference reference;
    moe::cpu one{{.threads = 1}}, three{{.threads = 3}};
    check(reference);
    check(three);
    CHECK(moe::testing::same_on(one, three, layer, of(x)) == "");
    const auto y = moe::testing::infer(reference, layer, of(x));
    CHECK(relative_error(moe::testing::infer(one, layer, of(x)).view(), y.view()) <= tolerance<float>::value);
}

TEST_CASE("merged experts and weighted hidden values take short weights as a plain bank with the same numbers") {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    const auto check = [&](const auto& wrap) {
        const bank_of<moe::f16_with_masters> trained{options};
        bank_of<moe::f16_weights> packed{options};
        bank_of<moe::same_scalar> decoded{options};
        decode_into(trained, packed);
        decode_into(trained, decoded);
        const auto plain = around(wrap(decoded));
        auto layer = around(wrap(trained));
        auto fixed = around(wrap(packed));
        const auto check_on = [&](auto& backend) {
            auto got = moe::testing::train_once(backend, layer, of(x));
            auto wanted = moe::testing::train_once(backend, plain, of(x));
            CHECK(moe::testing::same_bits(got.y, wanted.y));
            CHECK(moe::testing::same_bits(got.dx, wanted.dx));
            CHECK(moe::testing::gradient_difference(plain, got.gradient, wanted.gradient) == "");
            auto without = moe::testing::train_once(backend, fixed, of(x));
            CHECK(moe::testing::same_bits(without.y, wanted.y));
            CHECK(moe::testing::same_bits(without.dx, wanted.dx));
        };
        moe::reference reference;
        moe::cpu cpu;
        check_on(reference);
        check_on(cpu);
        CHECK(moe::to_bytes(fixed).size() < moe::to_bytes(layer).size() * 6 / 10);
    };
    check([](const auto& bank) { return moe::soft_merge_bank{bank}; });
    check([](const auto& bank) { return moe::weigh_hidden{bank}; });
}

TEST_CASE("a LoRA bank adapts bfloat16 weights, and banks of different storage stand side by side") {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    const bank_of<moe::bf16_weights> base{options};
    auto adapted = around(moe::lora_bank{base, {.rank = 2, .alpha = 1.0}});
    CHECK(relative_error(moe::testing::infer(cpu, adapted, of(x)).view(),
                         moe::testing::infer(cpu, around(base), of(x)).view()) <= tolerance<float>::value);
    auto trained = moe::testing::train_once(cpu, adapted, of(x));
    double norm = 0;
    for (const float v : std::get<1>(trained.gradient).up.b.span()) norm += std::abs(double(v));
    CHECK(norm > 0);
    auto mixed = around(moe::banks{base, bank_of<moe::f16_weights>{options}, bank_of<moe::same_scalar>{options}});
    CHECK(moe::testing::taped_equals_inference(cpu, mixed, of(x)) == "");
}

TEST_CASE("a bank names what its products run on") {
    using masters = bank_of<moe::bf16_with_masters>;
    CHECK(std::string(masters::kernel_name<moe::reference>()) == "plain loops");
    CHECK(std::string(masters::kernel_name<moe::cpu>()) == moe::product_name<moe::cpu, float, moe::bf16_panels>());
    CHECK(std::string(masters::kernel_name<moe::cpu>()).find("bfloat16") == 0);
    CHECK(std::string(bank_of<moe::same_scalar>::kernel_name<moe::cpu>()).find("float vectors") == 0);
}
