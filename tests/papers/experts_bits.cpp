// Papers about experts in few bits; numbers in brackets are the project's list of papers.
#include "experts/storages.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/callable_bank.hpp"
#include "moe/experts/frozen.hpp"
#include "moe/experts/masters.hpp"
#include "moe/experts/nested_bank.hpp"
#include "moe/experts/sign_plane_bank.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/capacity.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/train/adamw.hpp"
#include "moe/train/expected_cost.hpp"
#include "moe/train/load_balance.hpp"
#include "moe/train/sgd.hpp"

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

namespace {

// One expert as a layer: its bit router sends a token to one of three widths, with weight 1.
template <class... More, class... Widths>
auto with_bit_router(std::uint64_t seed, const moe::banks<Widths...>& widths, const More&... more) {
    const moe::linear_gate<float> gate{{.features = 12, .experts = 3, .seed = seed}};
    return moe::layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 1}, moe::constant_weights{}, more...}, widths};
}

// Runs the layer of every expert on the tokens that the outer router sends to it.
template <class Layer>
struct own_layers {
    std::vector<Layer> layers;

    void operator()(index_t expert, moe::matrix_view<const float> x, moe::matrix_view<float> y) const {
        moe::cpu cpu;
        moe::batch<float> in;
        in.x = x;
        layers[std::size_t(expert)].forward(cpu, in, y);
    }
};

moe::swiglu_bank<float> expert_of(std::uint64_t seed) {
    auto own = dense_sizes;
    own.seed = seed;
    return moe::swiglu_bank<float>{own};
}

index_t width_of(const moe::linear_gate<float>& gate, std::span<const float> x) {
    double best = -1e30;
    index_t at = 0;
    for (index_t level = 0; level < 3; ++level) {
        double z = 0;
        for (index_t k = 0; k < 12; ++k) z += double(gate.weight(0, level, k)) * double(x[std::size_t(k)]);
        if (z > best) at = level;
        best = std::max(best, z);
    }
    return at;
}

// y = sum over the two experts of a token of p_e times the width of e that its bit router chose.
template <class MakeWidths>
void check_dual_routing(const MakeWidths& make) {
    using inner = decltype(with_bit_router(1, make(expert_of(1))));
    own_layers<inner> own;
    for (std::uint64_t e = 0; e < 3; ++e) own.layers.push_back(with_bit_router(20 + e, make(expert_of(e))));
    const auto router = small_router<float>(12, 3, 2);
    const moe::layer layer{router, moe::callable_bank<float, own_layers<inner>>{{.features = 12, .experts = 3}, own}};
    const auto x = moe::testing::random_matrix<float>(60, 12, 2);
    const auto y = infer(layer, x);
    moe::arena memory;
    moe::cpu cpu;
    const auto in = of(x);
    const auto routed = layer.route(cpu, in, memory);
    index_t seen[3] = {};
    for (index_t t = 0; t < 60; ++t) {
        moe::matrix<float> wanted(1, 12), alone(1, 12);
        for (index_t i = 0; i < 2; ++i) {
            const std::size_t slot = std::size_t(2 * t + i);
            const inner& expert = own.layers[std::size_t(routed.routes.expert[slot])];
            const index_t level = width_of(expert.router().template step<0>(), {x.view().row(t), 12});
            ++seen[level];
            const sent<float> to_level(1, {level});
            const auto one = to_level.batch(x.view().middle_rows(t, 1));
            const auto of_width = moe::testing::infer(cpu, expert, one);
            for (index_t k = 0; k < 12; ++k) wanted(0, k) += routed.routes.weight[slot] * of_width(0, k);
        }
        CHECK(relative_error(y.view().middle_rows(t, 1), wanted.view()) <= 1e-5);
    }
    for (const index_t count : seen) CHECK(count > 5);
}

}  // namespace

TEST_CASE("[53] D2MoE: the group 0, 1, 2, 4 in 2 bits, and what a plane of signs adds to it") {
    const float weights[] = {0, 1, 2, 4};
    const moe::matrix_view<const float> group(weights, 1, 4);
    moe::sign_planes<moe::whole_rows> w(1, 1, 4, 3);
    w.assign(0, group);
    const double third[] = {0.25, 13.0 / 12, 29.0 / 12};
    moe::matrix<float> got(1, 4);
    const auto error = [&](int bits) {
        w.read(0, bits, got.view());
        double sum = 0;
        for (index_t k = 0; k < 4; ++k) sum += std::pow(double(weights[k]) - double(got(0, k)), 2);
        return sum;
    };
    CHECK(w.base().scale(0, 0, 0).scale == Approx(4.0 / 3));
    for (int k = 0; k < 4; ++k) CHECK(w.base().code(0, 0, k) == k);
    CHECK(error(2) == Approx(5.0 / 9));
    CHECK(error(3) == Approx(11.0 / 36));
    for (index_t k = 0; k < 3; ++k) CHECK(double(got(0, k)) == Approx(third[k]));
    // 4/3 as a float is above it, so what is left of the 4 is below 0: as far away on the other side.
    CHECK(std::abs(double(got(0, 3)) - 4) == Approx(0.25));
    CHECK(error(2) - error(3) == Approx(4 * 0.25 * 0.25));
}

TEST_CASE("[53] D2MoE: an expert errs less with every bit, and less with scales from the inputs it gets") {
    auto many = dense_sizes;
    many.experts = 2;
    const moe::swiglu_bank<float> bank{many};
    auto x = moe::testing::random_matrix<float>(80, 12, 3);
    for (index_t t = 0; t < 80; ++t) x(t, 4) *= 9;
    std::vector<index_t> offset{0, 80, 80}, token(80);
    for (index_t t = 0; t < 80; ++t) token[std::size_t(t)] = t;
    moe::plan_view plan;
    plan.tokens = 80;
    plan.offset = offset;
    plan.token = token;
    moe::cpu cpu;
    const moe::sign_plane_bank<moe::whole_rows, moe::gated<moe::silu>> own(cpu, bank, x, plan, 5), free(bank, 5);
    double before = 1, own_sum = 0, free_sum = 0;
    for (int bits = 2; bits <= 5; ++bits) {
        const double error = moe::measure_quantization(cpu, bank, own.at(bits), x, plan).experts[0].output_error;
        CHECK(error < before);
        before = error;
        own_sum += error;
        free_sum += moe::measure_quantization(cpu, bank, free.at(bits), x, plan).experts[0].output_error;
    }
    CHECK(own_sum < free_sum);
    // Nobody sent rows to the other expert.
    CHECK(moe::testing::same_bits(moe::detail::decoded_matrix(own.at(4).up, 1),
                                  moe::detail::decoded_matrix(free.at(4).up, 1)));
}

TEST_CASE("[53] D2MoE: each expert's bit router sends every token of the expert to one of its nested widths") {
    check_dual_routing([](const moe::swiglu_bank<float>& expert) {
        const moe::sign_plane_bank<32, moe::gated<moe::silu>> planes(expert, 4);
        return moe::banks{planes.at(2), planes.at(3), planes.at(4)};
    });
    check_dual_routing([](const moe::swiglu_bank<float>& expert) {
        const auto whole = moe::quantize_bank<moe::int8_weights<32>>(expert);
        return moe::banks{moe::prefix_bank<2>(whole), moe::prefix_bank<4>(whole), whole};
    });
}

TEST_CASE("[53] D2MoE: a width takes its share of the tokens at most, and the output of the others is skipped") {
    const moe::sign_plane_bank<32, moe::gated<moe::silu>> planes(expert_of(5), 4);
    const moe::banks widths{planes.at(2), planes.at(3), planes.at(4)};
    const moe::capacity third{{.factor = 1.0, .priority = moe::capacity_priority::random}};
    const auto limited = with_bit_router(7, widths, third);
    const auto x = moe::testing::random_matrix<float>(60, 12, 2);
    const auto y = infer(limited, x), whole = infer(with_bit_router(7, widths), x);
    moe::cpu cpu;
    moe::tape<float> tape;
    moe::matrix<float> again(60, 12);
    limited.forward(cpu, of(x), again.view(), tape);
    index_t kept = 0, skipped = 0;
    for (index_t level = 0; level < 3; ++level) {
        CHECK(tape.plan().count(level) <= 20);
        kept += tape.plan().count(level);
    }
    for (index_t t = 0; t < 60; ++t) {
        const bool zero = std::all_of(y.view().row(t), y.view().row(t) + 12, [](float v) { return v == 0.0f; });
        skipped += zero;
        if (!zero) CHECK(std::memcmp(y.view().row(t), whole.view().row(t), 12 * sizeof(float)) == 0);
    }
    CHECK(skipped > 0);
    CHECK(kept + skipped == 60);
}

TEST_CASE("[53] D2MoE: the loss of expected bits is the mean of the widths at first and lowers them in training") {
    const moe::sign_plane_bank<32, moe::gated<moe::silu>> planes(expert_of(5), 4);
    auto layer = with_bit_router(7, moe::banks{planes.at(2), planes.at(3), planes.at(4)});
    auto& gate = layer.router().step<0>();
    for (float& w : gate.weight.span()) w *= 1e-3f;
    auto x = moe::testing::random_matrix<float>(60, 12, 2);
    for (index_t t = 0; t < 60; ++t) x(t, 0) = 1;  // a constant to learn from
    const double bits[] = {2, 3, 4};
    moe::cpu cpu;
    moe::tape<float> tape;
    moe::matrix<float> y(60, 12), dy(60, 12), dx(60, 12);
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
        layer.forward(cpu, of(x), y.view(), tape);
        last = moe::expected_cost{.cost = bits}(cpu, tape);
        if (step == 0) first = last;
        auto gradient = moe::make_gradient(layer);
        layer.backward(cpu, dy.view(), tape, dx.view(), gradient);
        moe::sgd{{.learning_rate = 0.3}}.step(layer, gradient);
    }
    CHECK(first == Approx(3).epsilon(1e-3));
    CHECK(last < 2.2);
}
