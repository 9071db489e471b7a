// Papers about experts in few bits; numbers in brackets are the project's list of papers.
#include "experts/storages.hpp"
#include "moe/experts/frozen.hpp"
#include "moe/experts/masters.hpp"
#include "moe/layer/shared.hpp"
#include "moe/train/adamw.hpp"
#include "moe/train/load_balance.hpp"

using namespace storages;

namespace {

constexpr moe::bank_options dense_sizes{.features = 12, .hidden = 40, .experts = 1, .seed = 3};

// BitNet's scale, one for a matrix, in 1.6 bits a weight and in 2.
using tern = moe::packed_ternary_with_masters<moe::scale_per_matrix>;
using tern_of_2_bits = moe::ternary_with_masters<moe::whole_rows, moe::scale_per_matrix>;

// Copies of a dense feed-forward network as routed experts.
template <class Storage>
bank_of<Storage> upcycled(const moe::swiglu_bank<float>& dense, index_t experts) {
    moe::bank_options many = dense_sizes;
    many.experts = experts;
    bank_of<Storage> bank{many};
    moe::detail::for_each_product([&](const auto& from, auto& to) {
        const auto m = moe::detail::decoded_matrix(from, 0);
        for (index_t e = 0; e < experts; ++e) to.assign(e, m.view());
    }, dense, bank);
    return bank;
}

auto top_one(index_t experts) { return small_router<float>(12, experts, 1); }

template <class Layer>
moe::matrix<float> infer(const Layer& layer, const moe::matrix<float>& x) {
    moe::cpu cpu;
    return moe::testing::infer(cpu, layer, of(x));
}

// Multiples of 1/64 that rounding to 8 bits leaves alone.
moe::matrix<float> unrounded(index_t rows) {
    moe::matrix<float> x(rows, 12);
    for (index_t t = 0; t < rows; ++t) {
        for (index_t k = 0; k < 12; ++k) x(t, k) = float((t * 37 + k * 61) % 255 - 127) / 64;
        x(t, t % 12) = 127.0f / 64;
    }
    return x;
}

}  // namespace

TEST_CASE("[73] MoTE: weights a and -a are their own ternary weights, and an expert of zeros gives zeros") {
    moe::swiglu_bank<float> dense{dense_sizes};
    moe::detail::for_each_product([](auto& w) {
        for (index_t n = 0; n < w.outputs(); ++n) {
            for (index_t k = 0; k < w.inputs(); ++k) w(0, n, k) = (n + k) % 2 == 0 ? 0.3f : -0.3f;
        }
    }, dense);
    const auto bank = upcycled<tern>(dense, 2);
    CHECK(relative_error(moe::detail::decoded_matrix(bank.up, 1).view(),
                         moe::detail::decoded_matrix(dense.up, 0).view()) <= 1e-6);
    for (auto* w : {&dense.gate, &dense.up, &dense.down}) {
        for (float& v : w->span()) v = 0;
    }
    const auto y = infer(moe::layer{top_one(3), upcycled<tern>(dense, 3)}, unrounded(9));
    for (const float v : y.span()) CHECK(v == 0.0f);
}

TEST_CASE("[73] MoTE: the output is the frozen dense network and the ternary expert, packed as unpacked") {
    const moe::swiglu_bank<float> dense{dense_sizes};
    const auto routed = upcycled<tern>(dense, 4);
    const auto x = unrounded(40);
    const moe::layer layer{top_one(4), routed, moe::shared{moe::frozen{dense}}};
    const auto y = infer(layer, x);
    // Two bits a weight, or five weights in a byte, with floats beside them or alone.
    const moe::layer two_bits{top_one(4), upcycled<tern_of_2_bits>(dense, 4), moe::shared{moe::frozen{dense}}};
    const moe::layer deployed{top_one(4), moe::without_masters(routed), moe::shared{moe::frozen{dense}}};
    CHECK(moe::testing::same_bits(infer(two_bits, x), y));
    CHECK(moe::testing::same_bits(infer(deployed, x), y));
    CHECK(routed.down.packed().bits_per_weight() < two_bits.experts().down.packed().bits_per_weight());
    const auto alone = infer(moe::layer{top_one(4), moe::dequantize_bank(routed)}, x);
    const auto beside = infer(moe::layer{top_one(1), dense}, x);  // the only expert has weight 1
    moe::matrix<float> sum(40, 12);
    for (std::size_t i = 0; i < sum.size(); ++i) sum.span()[i] = alone.span()[i] + beside.span()[i];
    CHECK(relative_error(y.view(), sum.view()) < 0.01);
    CHECK(relative_error(y.view(), beside.view()) > 0.05);
}

TEST_CASE("[73] MoTE: latent weights get the gradient of the ternary ones, the frozen network none") {
    const moe::swiglu_bank<float> dense{dense_sizes};
    const auto routed = upcycled<tern>(dense, 4);
    const auto x = unrounded(40);
    moe::cpu cpu;
    const moe::layer layer{top_one(4), routed, moe::shared{moe::frozen{dense}}};
    const moe::layer decoded{top_one(4), moe::dequantize_bank(routed), moe::shared{moe::frozen{dense}}};
    auto got = moe::testing::train_once(cpu, layer, of(x));
    auto wanted = moe::testing::train_once(cpu, decoded, of(x));
    moe::detail::for_each_product([&](const auto& latent, const auto& of_ternary) {
        CHECK(relative_error(moe::detail::decoded_matrix(latent, 2).view(),
                             moe::detail::decoded_matrix(of_ternary, 2).view()) <= tolerance<float>::gradient);
    }, std::get<1>(got.gradient), std::get<1>(wanted.gradient));
    const auto learning = [](const auto& any) {
        std::size_t elements = 0;
        moe::visit_parameters([&](const moe::parameter_name&, const auto& w) { elements += moe::flat(w).size(); }, any);
        return elements;
    };
    CHECK(learning(layer) == learning(moe::layer{top_one(4), routed}));
    CHECK(learning(layer) < learning(moe::layer{top_one(4), routed, moe::shared{dense}}));
}

TEST_CASE("[73] MoTE: ternary experts learn beside the frozen network under a balance loss of 0.01") {
    const moe::swiglu_bank<float> dense{dense_sizes};
    auto other = dense_sizes;
    other.experts = 4;
    other.seed = 9;
    const auto x = moe::testing::random_matrix<float>(96, 12, 2);
    const auto target = infer(moe::layer{top_one(4), moe::swiglu_bank<float>{other},
                                         moe::shared{moe::frozen{dense}}}, x);
    moe::layer layer{top_one(4), upcycled<tern>(dense, 4), moe::shared{moe::frozen{dense}}};
    const auto codes = moe::without_masters(layer.experts());
    moe::cpu cpu{{.threads = 2}};
    moe::adamw optimiser{{.learning_rate = 0.01}};
    moe::tape<float> tape;
    moe::matrix<float> y(96, 12), dx(96, 12);
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
        layer.forward(cpu, of(x), y.view(), tape);
        last = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            y.span()[i] -= target.span()[i];
            last += 0.5 * double(y.span()[i]) * double(y.span()[i]);
        }
        if (step == 0) first = last;
        auto gradient = moe::make_gradient(layer);
        moe::load_balance{.coefficient = 0.01}(cpu, tape);
        layer.backward(cpu, y.view(), tape, dx.view(), gradient);
        optimiser.step(layer, gradient);
    }
    CAPTURE(first, last);
    CHECK(last < 0.5 * first);
    const auto now = moe::without_masters(layer.experts());
    CHECK_FALSE(moe::testing::same_bits(moe::detail::decoded_matrix(now.up, 0),
                                        moe::detail::decoded_matrix(codes.up, 0)));
    const auto& kept = layer.part<2>().bank().bank;
    CHECK(moe::testing::same_bits(moe::detail::decoded_matrix(kept.up, 0), moe::detail::decoded_matrix(dense.up, 0)));
}
