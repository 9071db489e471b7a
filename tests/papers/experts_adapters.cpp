// Papers that put small experts beside frozen weights; numbers in brackets are the project's list of papers.
#include "experts/around.hpp"
#include "moe/combine/row_sum.hpp"
#include "moe/experts/bank_sum.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/borrow.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/frozen.hpp"
#include "moe/experts/lora_bank.hpp"
#include "moe/experts/low_rank_bank.hpp"
#include "moe/experts/soft_merge_bank.hpp"
#include "moe/gate/features_through.hpp"
#include "moe/gate/label_table.hpp"
#include "moe/layer/gated_shared.hpp"
#include "moe/layer/residual.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/score/standardize.hpp"
#include "moe/score/temperature.hpp"
#include "moe/select/dense.hpp"
#include "moe/select/table.hpp"

namespace {

using moe::index_t;
using T = double;

moe::batch<T> of(const moe::matrix<T>& x) {
    moe::batch<T> in;
    in.x = x;
    return in;
}
template <class Layer>
moe::matrix<T> infer(const Layer& layer, const moe::batch<T>& in) {
    moe::reference backend;
    return moe::testing::infer(backend, layer, in);
}
template <class Layer>
moe::matrix<T> infer(const Layer& layer, const moe::matrix<T>& x) {
    return infer(layer, of(x));
}
template <class Layer>
auto train(const Layer& layer, const moe::batch<T>& in) {
    moe::reference backend;
    return moe::testing::train_once(backend, layer, in);
}

moe::low_rank_bank<T> adapters(index_t experts, std::uint64_t seed = 3) {
    moe::low_rank_bank<T> bank{{.features = 4, .rank = 2, .experts = experts, .alpha = 2.0, .seed = seed}};
    fill_random(bank.down, seed + 1, 0.5);
    return bank;
}
template <class Bank>
Bank without_b(Bank bank) {
    for (T& w : bank.down.span()) w = 0;
    return bank;
}
moe::swiglu_bank<T> base_bank(index_t experts) { return {{.features = 4, .hidden = 5, .experts = experts, .seed = 2}}; }

// x -> W x as a bank of one expert that is not trained.
auto frozen_map(std::uint64_t seed) {
    moe::ffn_bank<T, moe::identity_activation> bank{{.features = 4, .hidden = 4, .experts = 1, .seed = seed}};
    for (T& w : bank.up.span()) w = 0;
    for (index_t i = 0; i < 4; ++i) bank.up(0, i, i) = 1;
    return moe::frozen{bank};
}
const auto x = moe::testing::random_matrix<T>(6, 4, 1);

}  // namespace

TEST_CASE("MoME [0]: adapters beside a frozen host, one object for every scale") {
    const moe::gelu_bank<T> host{{.features = 4, .hidden = 9, .experts = 1, .seed = 1}};
    const auto bottleneck = [](index_t experts, std::uint64_t seed) {
        return moe::gelu_bank<T>{{.features = 4, .hidden = 1, .experts = experts, .seed = seed}};
    };
    const auto fresh = without_b(bottleneck(5, 4));
    const auto fresh_shared = without_b(bottleneck(2, 5));
    const moe::layer start{small_router<T>(4, 5), fresh, moe::shared{moe::banks{moe::frozen{host}, fresh_shared}}};
    const moe::layer alone{small_router<T>(4, 5), fresh, moe::shared{host}};
    CHECK(moe::testing::same_bits(infer(start, x), infer(alone, x)));

    moe::layer layer{small_router<T>(4, 5), bottleneck(5, 4),
                     moe::shared{moe::banks{moe::frozen{host}, bottleneck(2, 5)}}};
    // A constant sequence, pooled at rates 1 and 4, routes every row alike.
    moe::matrix<T> constant(8, 4), pooled(2, 4);
    for (index_t t = 0; t < 8; ++t) std::copy(x.view().row(2), x.view().row(2) + 4, &constant(t, 0));
    for (index_t t = 0; t < 2; ++t) std::copy(x.view().row(2), x.view().row(2) + 4, &pooled(t, 0));
    moe::reference backend;
    moe::arena one, four;
    const auto all = layer.route(backend, of(constant), one).routes.expert;
    const auto few = layer.route(backend, of(pooled), four).routes.expert;
    for (std::size_t slot = 0; slot < all.size(); ++slot) CHECK(all[slot] == few[slot % 2]);
    // The gradient of the sum over scales is the sum of the gradients of the scales.
    auto a = train(layer, of(constant));
    auto b = train(layer, of(pooled));
    auto both = layer.make_gradient();
    moe::tape<T> tape;
    for (const auto* scale : {&constant, &pooled}) {
        moe::matrix<T> y(scale->rows(), 4), dx(scale->rows(), 4);
        const auto dy = moe::testing::random_matrix<T>(scale->rows(), 4, 78);
        layer.forward(backend, of(*scale), y.view(), tape);
        layer.backward(backend, dy.view(), tape, dx.view(), both);
    }
    const auto& sum = std::get<1>(both).up;
    for (index_t e = 0; e < 5; ++e) {
        CHECK(sum(e, 0, 1) ==
              Approx(std::get<1>(a.gradient).up(e, 0, 1) + std::get<1>(b.gradient).up(e, 0, 1)).margin(1e-13));
    }
}

TEST_CASE("PERFT [95]: adapters inside the experts, always on, or behind a router of their own") {
    const auto router = small_router<T>(4, 3);
    const auto bank = base_bank(3);
    const moe::layer base{router, bank};
    const auto y = infer(base, x);
    const auto with = [&](const auto& experts, const auto&... more) {
        return infer(moe::layer{router, experts, more...}, x);
    };
    // B = 0: the base's bits in all variants.
    CHECK(moe::testing::same_bits(with(moe::bank_sum{moe::frozen{bank}, without_b(adapters(3))}), y));
    CHECK(moe::testing::same_bits(with(moe::frozen{bank}, moe::shared{without_b(adapters(2))}), y));
    // R with one adapter and one choice is S.
    const auto always = with(moe::frozen{bank}, moe::shared{adapters(1)});
    const auto routed = infer(moe::layer{small_router<T>(4, 1, 1), adapters(1)}, x);
    for (std::size_t i = 0; i < y.size(); ++i)
        CHECK(always.data()[i] == Approx(y.data()[i] + routed.data()[i]).margin(1e-14));
    // E with one common adapter and weights that sum to 1 is S.
    auto common = adapters(3);
    const auto single = adapters(1);
    for (index_t e = 0; e < 3; ++e) {
        for (index_t i = 0; i < 4; ++i) {
            for (index_t r = 0; r < 2; ++r) {
                common.up(e, r, i) = single.up(0, r, i);
                common.down(e, i, r) = single.down(0, i, r);
            }
        }
    }
    const moe::router even{moe::linear_gate<T>{{.features = 4, .experts = 3, .seed = 5}}, moe::softmax{},
                           moe::top_k{.k = 2}, moe::renormalize{}};
    const auto inside = infer(moe::layer{even, moe::bank_sum{moe::frozen{bank}, common}}, x);
    const auto beside = infer(moe::layer{even, moe::frozen{bank}, moe::shared{single}}, x);
    CHECK(relative_error(inside.view(), beside.view()) <= tolerance<T>::value);
}

TEST_CASE("LLaVA-MoLE [155]: one LoRA expert per token beside a frozen map") {
    const auto w0 = frozen_map(7);
    const auto mole = [&](index_t experts, const auto& bank) {
        return moe::layer{moe::router{moe::linear_gate<T>{{.features = 4, .experts = experts, .seed = 5}},
                                      moe::softmax{}, moe::top_k{.k = 1}, moe::constant_weights{}},
                          bank, moe::shared{w0}};
    };
    const auto bank = adapters(1);
    const auto y = infer(mole(1, bank), x);
    for (index_t t = 0; t < 6; ++t) {
        for (index_t n = 0; n < 4; ++n) {
            T sum = 0;
            for (index_t j = 0; j < 4; ++j) {
                sum += w0.bank.down(0, n, j) * x(t, j);
                for (index_t r = 0; r < 2; ++r)
                    sum += bank.down(0, n, r) * bank.up(0, r, j) * x(t, j);  // alpha / r = 1
            }
            CHECK(y(t, n) == Approx(sum).margin(1e-13));
        }
    }
    const auto only = infer(moe::layer{small_router<T>(4, 1, 1), w0}, x);
    CHECK(moe::testing::same_bits(infer(mole(3, without_b(adapters(3))), x), only));
    // With unit weights the router learns from losses alone.
    const auto trained = train(mole(3, adapters(3)), of(x));
    for (const T g : std::get<0>(std::get<0>(trained.gradient)).weight.span()) CHECK(g == 0);
}

TEST_CASE("LoRAMoE [107]: all LoRA experts, weighted by a softmax, beside a frozen map") {
    const auto w0 = frozen_map(7);
    const moe::router dense{moe::linear_gate<T>{{.features = 4, .experts = 4, .seed = 5}}, moe::softmax{},
                            moe::dense{}};
    const moe::layer start{dense, without_b(adapters(4)), moe::shared{w0}};
    CHECK(moe::testing::same_bits(infer(start, x), infer(moe::layer{small_router<T>(4, 1, 1), w0}, x)));
    moe::layer layer{dense, adapters(4), moe::shared{w0}};
    moe::reference backend;
    const auto report = moe::testing::check_gradients(backend, layer, of(x));
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
    const auto trained = train(layer, of(x));
    for (index_t e = 0; e < 4; ++e) CHECK(std::get<1>(trained.gradient).down(e, 0, 0) != 0);  // all are active
}

TEST_CASE("LoRA-Mixer [10]: hard mode sends a token to the expert of its label alone") {
    moe::matrix<index_t> table(3, 1);
    for (index_t l = 0; l < 3; ++l) table(l, 0) = l;
    const moe::layer layer{moe::router{moe::linear_gate<T>{{.features = 4, .experts = 3, .seed = 5}}, moe::softmax{},
                                       moe::label_table{table}, moe::constant_weights{}},
                           adapters(3), moe::shared{frozen_map(7)}};
    const std::vector<index_t> labels(6, 1);
    auto in = of(x);
    in.label = labels;
    const auto trained = train(layer, in);
    const auto& g = std::get<1>(trained.gradient).down;
    CHECK(g(1, 0, 0) != 0);
    for (const index_t idle : {0, 2}) {
        for (index_t r = 0; r < 2; ++r) CHECK(g(idle, 0, r) == 0);
    }
    moe::reference backend;
    moe::arena memory;
    const auto routes = layer.route(backend, in, memory).routes;
    for (std::size_t s = 0; s < 6; ++s) {
        CHECK(routes.expert[s] == 1);
        CHECK(routes.weight[s] == 1);
    }
}

TEST_CASE("Multi-Head Adapter Routing [139], one head (Poly): adapters are averaged before the product") {
    const moe::router by_task{moe::label_table_gate<T>{{.features = 4, .labels = 2, .experts = 3}}, moe::sigmoid{},
                              moe::dense{}, moe::renormalize{.epsilon = 1e-8}};
    const auto bank = adapters(3);
    moe::layer layer{by_task, moe::soft_merge_bank{bank}};
    const std::vector<index_t> labels{0, 1, 0, 1, 1, 0};
    auto in = of(x);
    in.label = labels;
    // Task logits of 0: the uniform average of A and of B, not of the adapters.
    auto average = adapters(1);
    for (index_t i = 0; i < 4; ++i) {
        for (index_t r = 0; r < 2; ++r) {
            average.up(0, r, i) = (bank.up(0, r, i) + bank.up(1, r, i) + bank.up(2, r, i)) / 3;
            average.down(0, i, r) = (bank.down(0, i, r) + bank.down(1, i, r) + bank.down(2, i, r)) / 3;
        }
    }
    const auto y = infer(layer, in);
    CHECK(relative_error(y.view(), infer(moe::layer{small_router<T>(4, 1, 1), average}, x).view()) <= 1e-7);
    CHECK(relative_error(y.view(), infer(moe::layer{by_task, bank}, in).view()) > 0.01);  // cross terms A_i B_j
    randomise(layer);
    moe::reference backend;
    const auto report = moe::testing::check_gradients(backend, layer, in);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
}

TEST_CASE("PHATGOOSE [150]: gates trained one by one, then a router of standardised gates") {
    // Training: h = W0 x + s(v . x) B A x, one half of the adapter at v = 0.
    moe::gated_shared<moe::low_rank_bank<T>> gated{adapters(1)};
    for (T& w : gated.gate.weight.span()) w = 0;
    const auto w0 = frozen_map(7);
    const auto host = infer(moe::layer{small_router<T>(4, 1, 1), w0}, x);
    const auto full = infer(moe::layer{small_router<T>(4, 1, 1), adapters(1)}, x);
    const auto half = infer(moe::layer{small_router<T>(4, 1, 1), w0, gated}, x);
    for (std::size_t i = 0; i < half.size(); ++i) {
        CHECK(half.data()[i] == Approx(host.data()[i] + 0.5 * full.data()[i]).margin(1e-13));
    }
    // Inference: rows of the gate and tokens standardised, logits over sqrt(d).
    moe::linear_gate<T> gate{{.features = 4, .experts = 3}};
    const T tokens[] = {1, 2, 3, 4};
    for (index_t j = 0; j < 4; ++j) {
        const T standard = (tokens[j] - 2.5) / std::sqrt(1.25 + 1e-5);
        gate.weight(0, 0, j) = standard;
        gate.weight(0, 1, j) = -standard;
        gate.weight(0, 2, j) = 0;
    }
    const moe::layer layer{moe::router{moe::features_through{moe::standardize{}, gate}, moe::temperature{2.0},
                                       moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{.epsilon = 1e-6}},
                           adapters(3), moe::shared{w0}};
    moe::matrix<T> two(2, 4);
    for (index_t j = 0; j < 4; ++j) {
        two(0, j) = tokens[j];
        two(1, j) = 5 * tokens[j] - 3;
    }
    moe::reference backend;
    moe::arena memory;
    const auto s = layer.route(backend, of(two), memory);
    CHECK(s.logits(0, 0) == Approx(4.0).margin(1e-3));  // 2 behind the temperature
    CHECK(s.routes.expert[0] == 0);
    CHECK(s.routes.expert[1] == 2);
    CHECK(s.routes.weight[0] == Approx(0.880795).margin(1e-4));
    CHECK(s.routes.weight[1] == Approx(0.119205).margin(1e-4));
    for (std::size_t i = 0; i < 2; ++i) CHECK(s.routes.weight[2 + i] == Approx(s.routes.weight[i]).margin(1e-3));
}

TEST_CASE("FlexMoRE [131]: a full expert and low-rank deltas of it, each with a rank of its own") {
    const auto base = base_bank(1);
    const auto delta = [&](index_t rank, std::uint64_t seed) {
        moe::lora_bank<T, moe::gated<moe::silu>> bank{base, {.rank = rank, .alpha = double(rank), .seed = seed}};
        fill_random(bank.gate.b, seed, 0.3);
        fill_random(bank.up.b, seed + 1, 0.3);
        fill_random(bank.down.b, seed + 2, 0.3);
        return bank;
    };
    const auto first = delta(1, 11);
    const auto second = delta(3, 21);
    const auto router = small_router<T>(4, 3);
    const auto factored = infer(moe::layer{router, moe::banks{base, first, second}}, x);
    const auto stored = infer(moe::layer{router, moe::banks{base, first.merged(), second.merged()}}, x);
    CHECK(relative_error(factored.view(), stored.view()) <= tolerance<T>::value);
    // Without a delta every expert is the public one.
    moe::lora_bank<T, moe::gated<moe::silu>> none{base, {.rank = 1, .alpha = 1.0}};
    const moe::router even{moe::linear_gate<T>{{.features = 4, .experts = 3}}, moe::softmax{}, moe::top_k{.k = 2},
                           moe::renormalize{}};
    CHECK(relative_error(infer(moe::layer{even, moe::banks{base, none, none}}, x).view(),
                         infer(moe::layer{small_router<T>(4, 1, 1), base}, x).view()) <= tolerance<T>::value);
}

TEST_CASE("ReXMoE [12]: a layer routes over its own bank and its neighbour's, which it does not own") {
    const auto own = base_bank(3);
    const moe::swiglu_bank<T> other{{.features = 4, .hidden = 5, .experts = 3, .seed = 40}};
    auto g_own = moe::make_gradient(own);
    auto g_other = moe::make_gradient(other);
    const moe::layer first{small_router<T>(4, 6), moe::banks{moe::borrow(own, g_own), moe::borrow(other, g_other)}};
    const moe::layer second{small_router<T>(4, 6, 4), moe::banks{moe::borrow(other, g_other), moe::borrow(own, g_own)}};
    const moe::layer copied{small_router<T>(4, 6), moe::banks{own, other}};
    CHECK(moe::testing::same_bits(infer(first, x), infer(copied, x)));
    // An expert's gradient is the sum over the layers that use it.
    (void)train(first, of(x));
    const auto after_first = g_own.down;
    const auto alone = train(moe::layer{small_router<T>(4, 6, 4), moe::banks{other, own}}, of(x));
    (void)train(second, of(x));
    const auto& separate = std::get<1>(std::get<1>(alone.gradient)).down;
    double largest = 0;
    for (std::size_t i = 0; i < g_own.down.span().size(); ++i) {
        CHECK(g_own.down.span()[i] == Approx(after_first.span()[i] + separate.span()[i]).margin(1e-13));
        largest = std::max(largest, std::abs(after_first.span()[i]));
    }
    CHECK(largest > 0);
}
