#include "experts/storages.hpp"
#include "moe/experts/lora_bank.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/train/adamw.hpp"

using namespace storages;

namespace {

// Multiples of 1/64 up to 127/64 in size, which every row has: rounding them to 8 bits changes nothing.
moe::matrix<float> unrounded(index_t rows, index_t cols) {
    moe::matrix<float> x(rows, cols);
    for (index_t t = 0; t < rows; ++t) {
        for (index_t k = 0; k < cols; ++k) x(t, k) = float((t * 37 + k * 61) % 255 - 127) / 64;
        x(t, t % cols) = 127.0f / 64;
    }
    return x;
}

// Sums that no product's rounding reaches backwards: weights of routes do not depend on y.
template <class Bank>
auto with_constant_weights(const Bank& bank) {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 21, .experts = 4, .seed = 5}}, moe::softmax{},
                                  moe::top_k{.k = 2}, moe::constant_weights{}},
                      bank};
}

template <class Storage>
auto adapted(const bank_of<Storage>& base) {
    moe::lora_bank lora{base, {.rank = 3, .alpha = 2.0, .seed = 7}};
    randomise(lora, 0.2);
    return lora;
}

moe::matrix_view<const float> as_row(std::span<const float> s) { return {s.data(), 1, index_t(s.size())}; }

}  // namespace

TEMPLATE_TEST_CASE("quantised weights: dx is that of the decoded weights, to the bit in the products of a backend", "",
                   moe::int8_weights<32>, moe::int4_zero_weights<64>) {
    const bank_of<TestType> bank{options};
    bank_of<moe::same_scalar> decoded{options};
    decode_into(bank, decoded);
    const auto d = moe::testing::random_matrix<float>(33, 70, 4);
    const index_t offset[] = {0, 1, 14, 14, 33};
    const auto check = [&](auto backend) {
        using K = moe::kernels_of<decltype(backend)>;
        moe::matrix<float> got(33, 21), wanted(33, 21);
        K::grouped_input_gradient(backend, {offset, {}}, d.view(), bank.up, got.view(), false);
        K::grouped_input_gradient(backend, {offset, {}}, d.view(), decoded.up, wanted.view(), false);
        CHECK(moe::testing::same_bits(got, wanted));
    };
    check(moe::reference{});
    check(moe::cpu{{.threads = 2}});
}

TEMPLATE_TEST_CASE("quantised weights: rounding counts as identity, so adapters and x get the gradients of the float "
                   "bank with the decoded weights", "", moe::int8_weights<32>, moe::int4_zero_weights<64>) {
    const bank_of<TestType> base{options};
    bank_of<moe::same_scalar> decoded{options};
    decode_into(base, decoded);
    const auto x = unrounded(33, 21);
    moe::cpu cpu{{.threads = 2}};
    const auto layer = with_constant_weights(adapted(base));
    const auto plain = with_constant_weights(adapted(decoded));
    auto got = moe::testing::train_once(cpu, layer, of(x));
    auto wanted = moe::testing::train_once(cpu, plain, of(x));
    CHECK(relative_error(got.dx.view(), wanted.dx.view()) <= tolerance<float>::gradient);
    index_t tensors = 0;  // that learn
    moe::visit_parameters(
        [&](const moe::parameter_name& name, const auto&, auto& a, auto& b) {
            INFO(name.text());
            double size = 0;
            for (const float v : moe::flat(b)) size += std::abs(double(v));
            CHECK(relative_error(as_row(moe::flat(a)), as_row(moe::flat(b))) <= tolerance<float>::gradient);
            tensors += size > 0.1;
        },
        plain, got.gradient, wanted.gradient);
    CHECK(tensors == 6);
    // What is multiplied second was rounded.
    CHECK(relative_error(got.y.view(), wanted.y.view()) > 1e-5);
    CHECK(relative_error(got.y.view(), wanted.y.view()) < 0.02);
}

TEST_CASE("quantised weights: gradients of adapters that no rounding follows equal central differences") {
    auto layer = with_constant_weights(adapted(bank_of<moe::int8_weights<32>>{options}));
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::reference reference;
    auto trained = moe::testing::train_once(reference, layer, of(x));
    const auto dy = moe::testing::random_matrix<float>(9, 9, 78);  // as train_once
    const auto check = [&](moe::panels<float>& w, const moe::panels<float>& gradient) {
        for (index_t g = 0; g < w.groups(); ++g) {
            // y is linear in each of them, so a large step has no error but that of float.
            float& one = w(g, w.outputs() - 1, 1);
            const float kept = one;
            double sides[2];
            for (const int side : {0, 1}) {
                one = kept + (side == 0 ? -2.0f : 2.0f);
                sides[side] = 0;
                const auto y = moe::testing::infer(reference, layer, of(x));
                for (std::size_t i = 0; i < y.size(); ++i) {
                    sides[side] += double(y.span()[i]) * double(dy.span()[i]);
                }
            }
            one = kept;
            CHECK(gradient(g, w.outputs() - 1, 1) == Approx((sides[1] - sides[0]) / 4).margin(1e-4));
        }
    };
    const auto& d = std::get<1>(trained.gradient);
    check(layer.experts().down.a, d.down.a);
    check(layer.experts().down.b, d.down.b);
}

TEST_CASE("adapters on quantised weights learn, and no byte of the weights changes") {
    const bank_of<moe::int4_weights<32>> base{options};
    auto layer = around(moe::lora_bank{base, {.rank = 4, .alpha = 4.0, .seed = 7}});
    auto other = options;
    other.seed = 9;
    const auto x = moe::testing::random_matrix<float>(64, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto target = moe::testing::infer(cpu, around(bank_of<moe::same_scalar>{other}), of(x));
    moe::adamw optimiser{{.learning_rate = 0.02}};
    moe::tape<float> tape;
    moe::matrix<float> y(64, 9), dy(64, 9), dx(64, 21);
    double first = 0, last = 0;
    for (int step = 0; step < 60; ++step) {
        layer.forward(cpu, of(x), y.view(), tape);
        last = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            dy.span()[i] = y.span()[i] - target.span()[i];
            last += 0.5 * double(dy.span()[i]) * double(dy.span()[i]);
        }
        if (step == 0) first = last;
        auto gradient = moe::make_gradient(layer);
        layer.backward(cpu, dy.view(), tape, dx.view(), gradient);
        optimiser.step(layer, gradient);
    }
    CHECK(last < 0.3 * first);
    const auto& kept = layer.experts().bank;
    for (const auto w : {&bank_of<moe::int4_weights<32>>::gate, &bank_of<moe::int4_weights<32>>::up,
                         &bank_of<moe::int4_weights<32>>::down}) {
        const auto now = (kept.*w).span(), before = (base.*w).span();
        CHECK(std::memcmp(now.data(), before.data(), before.size()) == 0);
    }
}
