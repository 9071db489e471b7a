#include "moe/experts/weight_storage.hpp"

#include "experts/around.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/lora_bank.hpp"
#include "moe/io/save.hpp"
#include "moe/layer/any_layer.hpp"
#include "moe/train/adamw.hpp"
#include "moe/train/sgd.hpp"

namespace {

using moe::index_t;
template <class Storage>
using bank_of = moe::ffn_bank<float, moe::gated<moe::silu>, Storage>;

constexpr moe::bank_options options{.features = 21, .hidden = 70, .experts = 4, .bias = true, .seed = 3, .outputs = 9};

template <class Bank, class... More>
auto around(Bank bank, const More&... more) {
    auto router = small_router<float>(bank.features(), bank.experts());
    return moe::layer{router, std::move(bank), more...};
}

template <class Storage>
auto make_layer() {
    return around(bank_of<Storage>{options});
}

moe::batch<float> of(const moe::matrix<float>& x) {
    moe::batch<float> in;
    in.x = x;
    return in;
}

// The plain bank with the decoded weights of another.
template <class Bank>
void decode_into(const Bank& from, moe::ffn_bank<float, moe::gated<moe::silu>>& to) {
    const auto one = [](const auto& w, moe::panels<float>& plain) {
        moe::matrix<float> m(w.outputs(), w.inputs());
        for (index_t g = 0; g < w.groups(); ++g) {
            w.packed().read(g, m.view());
            plain.assign(g, m.view());
        }
    };
    one(from.gate, to.gate);
    one(from.up, to.up);
    one(from.down, to.down);
}

// The packed weights are the masters rounded, and there are some that rounding changed.
template <class Storage>
void check_packed(const bank_of<Storage>& bank) {
    index_t rounded = 0;
    for (const auto* w : {&bank.gate, &bank.up, &bank.down}) {
        for (index_t g = 0; g < w->groups(); ++g) {
            for (index_t n = 0; n < w->outputs(); ++n) {
                for (index_t k = 0; k < w->inputs(); ++k) {
                    const float master = (*w)(g, n, k);
                    const float packed = w->packed()(g, n, k);
                    if (packed != float(moe::bfloat16(master))) FAIL("packed " << packed << ", master " << master);
                    rounded += packed != master;
                }
            }
        }
    }
    CHECK(rounded > 100);
}

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

TEST_CASE("bfloat16 weights: with numbers that need no rounding, forward and backward are those of a float bank") {
    auto plain = layer_of_whole_numbers<moe::same_scalar>();
    auto trained = layer_of_whole_numbers<moe::bf16_with_masters>();
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

TEMPLATE_TEST_CASE("bfloat16 weights keep the laws of layers", "", moe::bf16_weights, moe::bf16_with_masters) {
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

TEST_CASE("bfloat16 weights: optimisers change the masters and the packed weights with them") {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto check = [&](const auto& step) {
        auto layer = make_layer<moe::bf16_with_masters>();
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
    auto frozen = make_layer<moe::bf16_weights>();
    moe::any_layer<float> any_frozen = frozen;
    CHECK(moe::to_bytes(frozen) == moe::to_bytes(any_frozen));
}

TEST_CASE("bfloat16 weights are saved as bfloat16, masters as floats that a float layer loads too") {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    const auto infer = [&](const auto& layer) { return moe::testing::infer(cpu, layer, of(x)); };
    auto masters = make_layer<moe::bf16_with_masters>();
    auto packed = make_layer<moe::bf16_weights>();
    auto plain = make_layer<moe::same_scalar>();
    const auto bytes = moe::to_bytes(packed);
    CHECK(bytes.size() < moe::to_bytes(masters).size() * 6 / 10);
    CHECK(moe::to_bytes(masters) == moe::to_bytes(plain));

    auto other = around(bank_of<moe::bf16_weights>{{.features = 21, .hidden = 70, .experts = 4, .bias = true, .seed = 9,
                                                    .outputs = 9}});
    CHECK_FALSE(moe::testing::same_bits(infer(other), infer(packed)));
    moe::from_bytes(bytes, other);
    CHECK(moe::testing::same_bits(infer(other), infer(packed)));

    for (float& w : plain.experts().up.span()) w *= 2;
    moe::from_bytes(moe::to_bytes(plain), masters);
    check_packed(masters.experts());
    CHECK_THROWS_WITH(moe::from_bytes(moe::to_bytes(plain), packed),
                      Catch::Contains("bfloat16") && Catch::Contains("float32"));
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
    auto mixed = around(moe::banks{base, bank_of<moe::same_scalar>{options}});
    CHECK(moe::testing::taped_equals_inference(cpu, mixed, of(x)) == "");
}

TEST_CASE("a bank names what its products run on") {
    using masters = bank_of<moe::bf16_with_masters>;
    CHECK(std::string(masters::kernel_name<moe::reference>()) == "plain loops");
    CHECK(std::string(masters::kernel_name<moe::cpu>()) == moe::product_name<moe::cpu, float, moe::bf16_panels>());
    CHECK(std::string(masters::kernel_name<moe::cpu>()).find("bfloat16") == 0);
    CHECK(std::string(bank_of<moe::same_scalar>::kernel_name<moe::cpu>()).find("float vectors") == 0);
}
