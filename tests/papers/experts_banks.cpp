// Papers about what a bank holds: sizes, kinds, slices, sharing; numbers in brackets are the project's list of papers.
#include "experts/around.hpp"
#include "moe/combine/concat.hpp"
#include "moe/combine/row_sum.hpp"
#include "moe/combine/scaled_sum.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/borrow.hpp"
#include "moe/experts/callable_bank.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/frozen.hpp"
#include "moe/experts/latent_input.hpp"
#include "moe/experts/null_bank.hpp"
#include "moe/layer/iterated.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/constant_weights.hpp"
#include "moe/route/null_experts.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/l2_normalize.hpp"
#include "moe/score/learned_scale.hpp"
#include "moe/score/relu_score.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/dense.hpp"

namespace {

using moe::index_t;
using T = double;
using swiglu = moe::swiglu_bank<T>;

moe::batch<T> of(const moe::matrix<T>& x) {
    moe::batch<T> in;
    in.x = x;
    return in;
}
template <class Layer>
moe::matrix<T> infer(const Layer& layer, const moe::matrix<T>& x) {
    moe::reference backend;
    return moe::testing::infer(backend, layer, of(x));
}
template <class Layer>
auto train(const Layer& layer, const moe::matrix<T>& x) {
    moe::reference backend;
    return moe::testing::train_once(backend, layer, of(x));
}
double difference(const moe::matrix<T>& a, const moe::matrix<T>& b) { return relative_error(a.view(), b.view()); }

swiglu random_bank(index_t experts, index_t hidden, std::uint64_t seed = 2) {
    return {{.features = 4, .hidden = hidden, .experts = experts, .seed = seed}};
}

// Atoms [first, first + count) of expert `from` become expert `to`, from atom `at` on.
void copy_atoms(const swiglu& source, index_t from, index_t first, index_t count, swiglu& target, index_t to,
                index_t at = 0) {
    for (index_t n = 0; n < count; ++n) {
        for (index_t j = 0; j < source.features(); ++j) {
            target.gate(to, at + n, j) = source.gate(from, first + n, j);
            target.up(to, at + n, j) = source.up(from, first + n, j);
            target.down(to, j, at + n) = source.down(from, j, first + n);
        }
    }
}
// Every expert cut into m of its atoms each.
swiglu segmented(const swiglu& bank, index_t m) {
    swiglu cut = random_bank(bank.experts() * m, bank.hidden() / m);
    for (index_t e = 0; e < cut.experts(); ++e) copy_atoms(bank, e / m, e % m * cut.hidden(), cut.hidden(), cut, e);
    return cut;
}
moe::linear_gate<T> random_gate(index_t experts) { return {{.features = 4, .experts = experts, .seed = 5}}; }
// Every row m times.
moe::linear_gate<T> duplicated(const moe::linear_gate<T>& gate, index_t m) {
    moe::linear_gate<T> wide{{.features = 4, .experts = gate.columns() * m}};
    for (index_t e = 0; e < wide.columns(); ++e) {
        for (index_t j = 0; j < 4; ++j) wide.weight(0, e, j) = gate.weight(0, e / m, j);
    }
    return wide;
}
auto top(const moe::linear_gate<T>& gate, index_t k) {
    return moe::router{gate, moe::softmax{}, moe::top_k{.k = k}, moe::renormalize{}};
}
auto unit_votes(const moe::linear_gate<T>& gate, index_t k) {
    return moe::router{gate, moe::softmax{}, moe::top_k{.k = k}, moe::constant_weights{}};
}
const auto x = moe::testing::random_matrix<T>(7, 4, 1);

}  // namespace

TEST_CASE("Chain-of-Experts [17]: one bank several times, each pass with its own router") {
    const auto half = [](index_t, moe::matrix_view<const T> in, moe::matrix_view<T> out) {
        for (index_t r = 0; r < in.rows; ++r) out(r, 0) = 0.5 * in(r, 0);
    };
    const auto gate = [](std::uint64_t seed) {
        return moe::linear_gate<T>{{.features = 1, .experts = 3, .seed = seed}};
    };
    const moe::layer step{top(gate(1), 2), moe::callable_bank<T, decltype(half)>{{.features = 1, .experts = 3}, half}};
    moe::matrix<T> two(1, 1);
    two(0, 0) = 2;
    CHECK(infer(moe::iterated{step, {top(gate(2), 2)}}, two)(0, 0) == Approx(4.5));
    CHECK(infer(moe::iterated{step}, two)(0, 0) == Approx(3.0));
    const moe::layer nothing{top(random_gate(3), 2), moe::null_bank<T>{{.features = 4, .experts = 3}}};
    CHECK(moe::testing::same_bits(infer(moe::iterated{nothing, {}, {.times = 4}}, x), x));
}

TEST_CASE("Duo-LLM [26]: a big, a small and a skip module; skipping leaves the residual alone") {
    const swiglu big = random_bank(1, 32);
    const swiglu small = random_bank(1, 2, 9);
    const moe::layer layer{small_router<T>(4, 3, 1),
                           moe::banks{big, small, moe::null_bank<T>{{.features = 4, .experts = 1}}}};
    const sent<T> skip(1, {2, 2, 2, 2, 2, 2, 2});
    moe::reference backend;
    const moe::residual block{layer};
    CHECK(moe::testing::same_bits(moe::testing::infer(backend, block, skip.batch(x)), x));
    const sent<T> all_big(1, {0, 0, 0, 0, 0, 0, 0});
    const auto in = all_big.batch(x);
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    const auto alone = infer(moe::layer{top(random_gate(1), 1), big}, x);
    for (index_t t = 0; t < 7; ++t) CHECK(y(t, 0) == Approx(s.routes.weight[std::size_t(t)] * alone(t, 0)));
}

TEST_CASE("FactorLLM [37]: a dense network cut into blocks") {
    const swiglu dense = random_bank(1, 8);
    const swiglu blocks = segmented(dense, 4);
    const auto y = infer(moe::layer{top(random_gate(1), 1), dense}, x);
    CHECK(difference(infer(moe::layer{unit_votes(random_gate(4), 4), blocks}, x), y) <= tolerance<T>::value);
    // k = E / 2 hard votes, times floor(E / k).
    const moe::layer half{unit_votes(random_gate(4), 2), blocks, moe::scaled_sum{.factor = 2}};
    const moe::layer votes{unit_votes(random_gate(4), 2), blocks, moe::row_sum{}};
    const auto a = infer(half, x);
    const auto b = infer(votes, x);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a.data()[i] == 2 * b.data()[i]);
}

TEST_CASE("Union of Experts [15]: all slices with weight 1 and the bias are the dense network") {
    moe::relu_bank<T> dense{{.features = 4, .hidden = 6, .experts = 1, .bias = true}};
    randomise(dense);
    moe::relu_bank<T> slices{{.features = 4, .hidden = 2, .experts = 3, .bias = true}};
    for (index_t e = 0; e < 3; ++e) {
        for (index_t n = 0; n < 2; ++n) {
            slices.up_bias(e, n) = dense.up_bias(0, 2 * e + n);
            for (index_t j = 0; j < 4; ++j) {
                slices.up(e, n, j) = dense.up(0, 2 * e + n, j);
                slices.down(e, j, n) = dense.down(0, j, 2 * e + n);
            }
        }
    }
    for (index_t j = 0; j < 4; ++j) slices.down_bias(1, j) = dense.down_bias(0, j);
    CHECK(difference(infer(moe::layer{unit_votes(random_gate(3), 3), slices}, x),
                     infer(moe::layer{top(random_gate(1), 1), dense}, x)) <= tolerance<T>::value);
}

TEST_CASE("MoLE, latent experts [56]: experts that share their input projection are dense experts A_e B") {
    const index_t m = 3;  // of gate and up each; the latent vector is both, side by side
    swiglu inner{{.features = 2 * m, .hidden = 5, .experts = 3, .outputs = 4}};
    for (index_t e = 0; e < 3; ++e) {
        for (index_t n = 0; n < 5; ++n) {
            for (index_t j = 0; j < m; ++j) inner.gate(e, n, m + j) = inner.up(e, n, j) = 0;
        }
    }
    const moe::latent_input latent{inner, {.features = 4, .seed = 6}};
    swiglu dense = random_bank(3, 5);
    for (index_t e = 0; e < 3; ++e) {
        for (index_t n = 0; n < 5; ++n) {
            for (index_t j = 0; j < 4; ++j) {
                dense.gate(e, n, j) = dense.up(e, n, j) = 0;
                for (index_t l = 0; l < 2 * m; ++l) {
                    dense.gate(e, n, j) += inner.gate(e, n, l) * latent.projection(0, l, j);
                    dense.up(e, n, j) += inner.up(e, n, l) * latent.projection(0, l, j);
                }
                dense.down(e, j, n) = inner.down(e, j, n);
            }
        }
    }
    const auto router = top(random_gate(3), 2);
    CHECK(difference(infer(moe::layer{router, latent}, x), infer(moe::layer{router, dense}, x)) <= tolerance<T>::value);
}

TEST_CASE("DeepSeekMoE [62]: finely segmented experts, m k of m N, are the coarse layer") {
    const swiglu coarse = random_bank(4, 6);
    const auto gate = random_gate(4);
    for (const index_t m : {2, 3}) {
        const moe::layer fine{moe::router{duplicated(gate, m), moe::softmax{}, moe::top_k{.k = 2 * m},
                                          moe::renormalize{}, moe::scale{double(m)}},
                              segmented(coarse, m)};
        CHECK(difference(infer(fine, x), infer(moe::layer{top(gate, 2), coarse}, x)) <= 1e-12);
    }
    // Shared experts are always on and take no part in the routed weights.
    const swiglu always = random_bank(2, 3, 30);
    const auto both = infer(moe::layer{top(gate, 2), coarse, moe::shared{always}}, x);
    const auto routed = infer(moe::layer{top(gate, 2), coarse}, x);
    const auto shared =
        infer(moe::layer{top(gate, 2), moe::null_bank<T>{{.features = 4, .experts = 4}}, moe::shared{always}}, x);
    for (std::size_t i = 0; i < both.size(); ++i)
        CHECK(both.data()[i] == Approx(routed.data()[i] + shared.data()[i]).margin(1e-14));
}

TEST_CASE("On shared experts and normalised sigmoid [85]: weights are sigmoids over their selected sum") {
    moe::linear_gate<T> gate{{.features = 1, .experts = 2, .bias = true}};
    gate.weight(0, 0, 0) = gate.weight(0, 1, 0) = 0;
    gate.bias(0, 1) = std::log(3.0);
    moe::matrix<T> one(1, 1);
    moe::reference backend;
    moe::arena memory;
    const auto weights = [&](const auto& router) {
        const moe::layer layer{router, moe::null_bank<T>{{.features = 1, .experts = 2}}};
        const auto s = layer.route(backend, of(one), memory);
        return std::vector<T>{s.routes.weight[s.routes.expert[0] == 0 ? 0 : 1],
                              s.routes.weight[s.routes.expert[0] == 0 ? 1 : 0]};
    };
    const auto logistic = [&] {
        return weights(moe::router{gate, moe::sigmoid{}, moe::top_k{.k = 2}, moe::renormalize{}});
    };
    const auto exponential = [&] {
        return weights(moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}});
    };
    CHECK(logistic()[0] == Approx(0.4));
    CHECK(logistic()[1] == Approx(0.6));
    CHECK(exponential()[0] == Approx(0.25));
    gate.bias(0, 0) += 2;
    gate.bias(0, 1) += 2;
    CHECK(exponential()[0] == Approx(0.25));
    CHECK(std::abs(logistic()[0] - 0.4) > 0.01);
}

TEST_CASE("HMoE [97]: experts of different sizes are padded experts without the padding") {
    const swiglu padded = random_bank(3, 6);
    swiglu cut = padded;
    const index_t sizes[] = {2, 4, 6};
    for (index_t e = 0; e < 3; ++e) {
        for (index_t n = sizes[e]; n < 6; ++n) {
            for (index_t j = 0; j < 4; ++j) cut.down(e, j, n) = 0;
        }
    }
    swiglu small = random_bank(1, 2), middle = random_bank(1, 4), large = random_bank(1, 6);
    copy_atoms(padded, 0, 0, 2, small, 0);
    copy_atoms(padded, 1, 0, 4, middle, 0);
    copy_atoms(padded, 2, 0, 6, large, 0);
    const auto router = top(random_gate(3), 2);
    auto a = train(moe::layer{router, cut}, x);
    auto b = train(moe::layer{router, moe::banks{small, middle, large}}, x);
    CHECK(difference(b.y, a.y) <= tolerance<T>::value);
    CHECK(difference(b.dx, a.dx) <= tolerance<T>::value);
    const auto& g = std::get<1>(std::get<1>(b.gradient)).up;
    CHECK(g.outputs() == 4);
    for (index_t n = 0; n < 4; ++n) CHECK(g(0, n, 1) == Approx(std::get<1>(a.gradient).up(1, n, 1)).margin(1e-14));
}

TEST_CASE("Expert upcycling [117]: m copies of every expert and of its router row") {
    const swiglu bank = random_bank(3, 4);
    swiglu copies = random_bank(6, 4);
    for (index_t e = 0; e < 6; ++e) copy_atoms(bank, e / 2, 0, 4, copies, e);
    const auto gate = random_gate(3);
    const auto wide = duplicated(gate, 2);
    const auto old = [&](index_t k) { return infer(moe::layer{top(gate, k), bank}, x); };
    CHECK(difference(infer(moe::layer{top(wide, 4), copies}, x), old(2)) <= 1e-12);  // m k: exact
    CHECK(difference(infer(moe::layer{top(wide, 1), copies}, x), old(1)) <=
          1e-12);  // k = 1 with renormalisation: exact
    CHECK(difference(infer(moe::layer{top(wide, 2), copies}, x), old(1)) <= 1e-12);  // k kept: all copies of the best
    const moe::layer raw{moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}}, bank};
    const moe::layer raw_wide{moe::router{wide, moe::softmax{}, moe::top_k{.k = 4}}, copies};
    CHECK(difference(infer(raw_wide, x), infer(raw, x)) <= 1e-12);
}

TEST_CASE("Dynamic-DINO [119]: slices of copies whose router rows tie start as the dense network") {
    const swiglu dense = random_bank(1, 6);
    swiglu slices = random_bank(8, 3);
    for (index_t e = 0; e < 8; ++e) copy_atoms(dense, 0, e % 2 * 3, 3, slices, e);
    const auto tied = duplicated(random_gate(4), 2);
    const moe::layer layer{moe::router{tied, moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}, moe::scale{2.0}},
                           slices};
    CHECK(difference(infer(layer, x), infer(moe::layer{top(random_gate(1), 1), dense}, x)) <= 1e-12);
    moe::reference backend;
    moe::arena memory;
    const auto routes = layer.route(backend, of(x), memory).routes;
    for (std::size_t t = 0; t < 7; ++t) CHECK(routes.expert[2 * t] / 2 == routes.expert[2 * t + 1] / 2);
}

TEST_CASE("UniPool [110]: one pool for all layers, scores of normalised logits") {
    moe::linear_gate<T> gate{{.features = 2, .experts = 2}};
    gate.weight(0, 0, 0) = gate.weight(0, 1, 1) = 1;
    gate.weight(0, 0, 1) = gate.weight(0, 1, 0) = 0;
    const swiglu pool{{.features = 2, .hidden = 3, .experts = 2}};
    auto g = moe::make_gradient(pool);
    moe::learned_scale<T> learned;
    learned.factor = 1.5;
    const moe::layer layer{moe::router{gate, moe::l2_normalize{}, moe::relu_score{}, learned, moe::top_k{.k = 1}},
                           moe::borrow(pool, g)};
    moe::matrix<T> z(2, 2);
    z(0, 0) = 3, z(0, 1) = -4;
    z(1, 0) = 30, z(1, 1) = -40;
    moe::reference backend;
    moe::arena memory;
    const auto s = layer.route(backend, of(z), memory);
    for (index_t t = 0; t < 2; ++t) {
        CHECK(s.scores(t, 0) == Approx(0.6 * 1.5));
        CHECK(s.scores(t, 1) == 0);
    }
    // Two layers using the same expert in the same way double its gradient.
    const auto other = layer;
    (void)train(layer, z);
    const auto once = g.up;
    (void)train(other, z);
    CHECK(once(0, 0, 0) != 0);
    for (std::size_t i = 0; i < once.span().size(); ++i)
        CHECK(g.up.span()[i] == Approx(2 * once.span()[i]).margin(1e-14));
}

TEST_CASE("AdaMoE [123]: routes to null experts cost nothing and weigh nothing") {
    moe::linear_gate<T> gate{{.features = 1, .experts = 4, .bias = true}};
    const double p[] = {.4, .1, .3, .2};
    for (index_t e = 0; e < 4; ++e) {
        gate.weight(0, e, 0) = 0;
        gate.bias(0, e) = std::log(p[e]);
    }
    moe::matrix<T> one(1, 1);
    one(0, 0) = 2;
    const swiglu real{{.features = 1, .hidden = 3, .experts = 2}};
    const moe::banks bank{real, moe::null_bank<T>{{.features = 1, .experts = 2}}};
    const moe::layer layer{
        moe::router{gate, moe::softmax{}, moe::top_k{.k = 3}, moe::null_experts{.first = 2}, moe::renormalize{}}, bank};
    moe::reference backend;
    moe::arena memory;
    const auto s = layer.route(backend, of(one), memory);
    CHECK(std::vector<index_t>(s.routes.expert.begin(), s.routes.expert.end()) == std::vector<index_t>{0, -1, -1});
    CHECK(s.routes.weight[0] == Approx(1.0));
    const moe::layer alone{moe::router{moe::linear_gate<T>{{.features = 1, .experts = 2}}, moe::softmax{},
                                       moe::top_k{.k = 1}, moe::constant_weights{}},
                           real};
    const sent<T> first(1, {0});
    CHECK(infer(layer, one)(0, 0) == Approx(moe::testing::infer(backend, alone, first.batch(one))(0, 0)));
    const sent<T> only_null(3, {2, 3, -1});
    CHECK(moe::testing::infer(backend, layer, only_null.batch(one))(0, 0) == 0);
}

namespace {

// The largest |F_e(x)| of every expert, before the weights.
struct output_peak {
    using role = moe::observer_part;
    std::vector<double>* peak;

    template <class S>
    void forward(const moe::routing<S>&, const moe::plan_view& plan, moe::matrix_view<const S> rows) const {
        for (index_t e = 0; e < plan.experts(); ++e) {
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                for (const S v : rows[r])
                    (*peak)[std::size_t(e)] = std::max((*peak)[std::size_t(e)], std::abs(double(v)));
            }
        }
    }
    template <class S>
    void backward(const moe::routing<S>&, const moe::plan_view&, moe::matrix_view<const S>) const {}
};

}  // namespace

TEST_CASE("Super experts [133]: an observer finds the expert of extreme outputs; zeroing it keeps every plan") {
    swiglu bank = random_bank(4, 3);
    for (index_t j = 0; j < 4; ++j) {
        for (index_t n = 0; n < 3; ++n) bank.down(2, j, n) *= 500;
    }
    std::vector<double> peak(4, 0.0);
    const auto router = top(random_gate(4), 4);
    const moe::layer watched{router, bank, output_peak{&peak}};
    const auto y = infer(watched, x);
    for (const index_t e : {0, 1, 3}) CHECK(peak[2] > 10 * peak[std::size_t(e)]);
    swiglu without = bank;
    for (index_t j = 0; j < 4; ++j) {
        for (index_t n = 0; n < 3; ++n) without.down(2, j, n) = 0;
    }
    const moe::layer ablated{router, without};
    moe::reference backend;
    moe::arena memory;
    const auto s = ablated.route(backend, of(x), memory);
    const auto z = infer(ablated, x);
    const auto alone = infer(moe::layer{top(random_gate(1), 1),
                                        [&] {
                                            swiglu one = random_bank(1, 3);
                                            copy_atoms(bank, 2, 0, 3, one, 0);
                                            return one;
                                        }()},
                             x);
    for (index_t t = 0; t < 7; ++t) {
        for (index_t slot = s.routes.begin(t); slot < s.routes.end(t); ++slot) {
            if (s.routes.expert[std::size_t(slot)] != 2) continue;
            CHECK(y(t, 1) == Approx(z(t, 1) + s.routes.weight[std::size_t(slot)] * alone(t, 1)).epsilon(1e-9));
        }
    }
}

TEST_CASE("MoDE [42]: routing by the noise level alone, and the chosen pair fused into one expert") {
    const swiglu bank = random_bank(4, 3);
    const moe::layer layer{moe::router{moe::linear_gate<T>{{.features = 2, .experts = 4, .seed = 3}}, moe::softmax{},
                                       moe::top_k{.k = 2}, moe::renormalize{}},
                           bank};
    moe::matrix<T> noise(7, 2);
    for (index_t t = 0; t < 7; ++t) noise(t, 0) = 0.3, noise(t, 1) = -1.2;
    auto in = of(x);
    in.features = noise;
    moe::reference backend;
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    swiglu fused = random_bank(1, 6);
    for (index_t i = 0; i < 2; ++i) {
        const index_t e = s.routes.expert[std::size_t(i)];
        for (index_t t = 1; t < 7; ++t) CHECK(s.routes.expert[std::size_t(2 * t + i)] == e);  // one plan for all tokens
        copy_atoms(bank, e, 0, 3, fused, 0, 3 * i);
        for (index_t n = 0; n < 3; ++n) {
            for (index_t j = 0; j < 4; ++j) fused.down(0, j, 3 * i + n) *= s.routes.weight[std::size_t(i)];
        }
    }
    CHECK(difference(infer(moe::layer{top(random_gate(1), 1), fused}, x), moe::testing::infer(backend, layer, in)) <=
          tolerance<T>::value);
}

TEST_CASE("DMoERM [74]: inner experts, all on the same input, side by side for a last network") {
    const swiglu bank = random_bank(3, 2);
    const moe::layer inner{unit_votes(random_gate(3), 3), moe::frozen{bank}, moe::concat{.k = 3, .weighted = false}};
    const auto trained = train(inner, x);
    REQUIRE(trained.y.cols() == 12);
    STATIC_REQUIRE(std::is_same_v<std::remove_cvref_t<decltype(std::get<1>(trained.gradient))>, moe::no_gradient>);
    moe::reference backend;
    moe::arena memory;
    const auto s = inner.route(backend, of(x), memory);
    for (index_t slot = 0; slot < 3; ++slot) {
        const index_t e = s.routes.expert[std::size_t(slot)];
        swiglu one = random_bank(1, 2);
        copy_atoms(bank, e, 0, 2, one, 0);
        const auto alone = infer(moe::layer{top(random_gate(1), 1), one}, x);
        for (index_t j = 0; j < 4; ++j) CHECK(trained.y(0, 4 * slot + j) == Approx(alone(0, j)));
    }
    const moe::layer single{unit_votes(random_gate(1), 1), random_bank(1, 2), moe::concat{.k = 1}};
    CHECK(moe::testing::same_bits(infer(single, x), infer(moe::layer{top(random_gate(1), 1), random_bank(1, 2)}, x)));
}

TEST_CASE("T2MIR [1]: two layers write the two halves of one output") {
    const moe::layer by_token{top(random_gate(3), 2),
                              moe::silu_bank<T>{{.features = 4, .hidden = 3, .experts = 3, .outputs = 2}}};
    const moe::layer by_task{top(random_gate(2), 1),
                             moe::silu_bank<T>{{.features = 4, .hidden = 3, .experts = 2, .seed = 1, .outputs = 2}}};
    moe::matrix<T> y = moe::testing::poisoned<T>(7, 4);
    moe::reference backend;
    by_token.forward(backend, of(x), {y.data(), 7, 2, 4});
    by_task.forward(backend, of(x), {y.data() + 2, 7, 2, 4});
    const auto left = infer(by_token, x);
    const auto right = infer(by_task, x);
    for (index_t t = 0; t < 7; ++t) {
        for (index_t j = 0; j < 2; ++j) {
            CHECK(y(t, j) == left(t, j));
            CHECK(y(t, 2 + j) == right(t, j));
        }
    }
}

TEST_CASE("Decentralised diffusion [115]: isolated experts mixed by the posterior are the global velocity field") {
    // Two clusters N(mean, 0.25), noise N(0,1), x_t = (1 - t) noise + t data; one feature, one time.
    const double time = 0.6, deviation = 0.5, share[] = {0.3, 0.7}, mean[] = {-2.0, 1.5};
    const double variance = (1 - time) * (1 - time) + time * time * deviation * deviation;
    const auto velocity = [&](index_t k, moe::matrix_view<const T> in, moe::matrix_view<T> out) {
        const double slope = (time * deviation * deviation - (1 - time)) / variance;
        for (index_t r = 0; r < in.rows; ++r) out(r, 0) = mean[k] + slope * (in(r, 0) - time * mean[k]);
    };
    moe::linear_gate<T> posterior{{.features = 1, .experts = 2, .bias = true}};
    for (index_t k = 0; k < 2; ++k) {
        posterior.weight(0, k, 0) = time * mean[k] / variance;
        posterior.bias(0, k) = std::log(share[k]) - time * time * mean[k] * mean[k] / (2 * variance);
    }
    const moe::layer ensemble{moe::router{posterior, moe::softmax{}, moe::dense{}},
                              moe::callable_bank<T, decltype(velocity)>{{.features = 1, .experts = 2}, velocity}};
    moe::matrix<T> points(5, 1);
    for (index_t i = 0; i < 5; ++i) points(i, 0) = -2 + 0.9 * double(i);
    const auto mixed = infer(ensemble, points);
    for (index_t i = 0; i < 5; ++i) {
        // E[data - noise | x_t] of the whole data, by quadrature over the data.
        double top_sum = 0, mass = 0;
        for (int step = -40000; step <= 40000; ++step) {
            const double data = step * 2.5e-4;
            const double noise = (points(i, 0) - time * data) / (1 - time);
            double density = 0;
            for (int k = 0; k < 2; ++k)
                density += share[k] * std::exp(-(data - mean[k]) * (data - mean[k]) / (2 * 0.25));
            density *= std::exp(-noise * noise / 2);
            top_sum += density * (data - noise);
            mass += density;
        }
        CHECK(mixed(i, 0) == Approx(top_sum / mass).margin(1e-10));
    }
}
