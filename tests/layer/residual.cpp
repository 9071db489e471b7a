#include "moe/layer/residual.hpp"

#include "experts/around.hpp"
#include "moe/experts/borrow.hpp"
#include "moe/experts/callable_bank.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/null_bank.hpp"
#include "moe/layer/iterated.hpp"
#include "moe/layer/shared.hpp"

namespace {

template <class T>
auto inner_layer() {
    moe::layer layer{small_router<T>(4, 3),
                     moe::swiglu_bank<T>{{.features = 4, .hidden = 3, .experts = 3, .bias = true}},
                     moe::shared{moe::gelu_bank<T>{{.features = 4, .hidden = 2, .experts = 1, .seed = 7}}}};
    randomise(layer);
    return layer;
}
template <class T>
auto other_router(std::uint64_t seed) {
    auto router = small_router<T>(4, 3);
    fill_random(router.template step<0>().weight, seed, 0.7);
    return router;
}
template <class T>
auto three_passes(moe::iterated_options o = {}) {
    return moe::iterated{inner_layer<T>(), {other_router<T>(1), other_router<T>(2)}, o};
}

// A loss on the logits the outer tape shows: their sum, weighted.
struct logit_loss {
    template <class B, class T>
    double operator()(B&, moe::tape<T>& tape) const {
        double sum = 0;
        const auto logits = tape.routing().logits;
        for (moe::index_t t = 0; t < logits.rows; ++t) {
            for (moe::index_t e = 0; e < logits.cols; ++e) {
                sum += double(logits(t, e)) * 0.3 * double(e);
                tape.d.logits(t, e) += T(0.3 * double(e));
            }
        }
        return sum;
    }
};

template <class Layer>
void check_gradients_of(Layer& layer) {
    const auto x = moe::testing::random_matrix<double>(5, 4, 3);
    moe::batch<double> in;
    in.x = x;
    const auto check = [&] {
        moe::reference backend;
        const auto report = moe::testing::check_gradients(backend, layer, in, logit_loss{});
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
        CHECK(report.checked > 60);
    };
    check();
    const std::uint8_t mask[] = {1, 1, 0, 1, 1};
    in.mask = mask;
    check();
    const auto features = moe::testing::random_matrix<double>(5, 4, 4);
    in.features = features;
    check();
}

template <class On, class Layer>
void check_laws_of(const Layer& layer) {
    using T = typename On::scalar;
    const auto x = moe::testing::random_matrix<T>(5, 4, 3);
    const std::uint8_t mask[] = {1, 1, 0, 1, 1};
    typename On::backend backend;
    moe::batch<T> in;
    in.x = x;
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
    CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
    in.mask = mask;
    const auto y = moe::testing::infer(backend, layer, in);
    for (moe::index_t j = 0; j < y.cols(); ++j) CHECK(y(2, j) == T(0));
    if constexpr (std::is_same_v<typename On::backend, moe::cpu>) {
        moe::cpu one{{.threads = 1}};
        moe::cpu three{{.threads = 3}};
        CHECK(moe::testing::same_on(one, three, layer, in) == "");
    }
}

template <class T>
auto halves() {
    const auto half = [](moe::index_t, moe::matrix_view<const T> x, moe::matrix_view<T> y) {
        for (moe::index_t r = 0; r < x.rows; ++r) {
            for (moe::index_t j = 0; j < x.cols; ++j) y(r, j) = T(0.5) * x(r, j);
        }
    };
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 1, .experts = 2}}, moe::softmax{},
                                  moe::top_k{.k = 2}, moe::renormalize{}},
                      moe::callable_bank<T, decltype(half)>{{.features = 1, .experts = 2}, half}};
}

}  // namespace

TEST_CASE("gradients of a residual layer equal central differences, losses on its tape included") {
    moe::residual plain{inner_layer<double>()};
    check_gradients_of(plain);
    moe::residual scaled{inner_layer<double>(), {.skip = 0.5, .scale = -2.0}};
    check_gradients_of(scaled);
}

TEST_CASE("gradients of an iterated layer equal central differences") {
    auto all = three_passes<double>();
    check_gradients_of(all);
    auto bare = three_passes<double>({.inner_residual = false, .outer_residual = true});
    check_gradients_of(bare);
    moe::iterated one_router{inner_layer<double>(), {}, {.times = 3}};
    check_gradients_of(one_router);
}

TEMPLATE_LIST_TEST_CASE("residual and iterated layers keep the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    check_laws_of<TestType>(moe::residual{inner_layer<T>(), {.skip = 0.5, .scale = 3.0}});
    check_laws_of<TestType>(three_passes<T>());
    check_laws_of<TestType>(three_passes<T>({.outer_residual = true}));
}

TEST_CASE("a residual layer is skip times x plus scale times the layer") {
    const auto layer = inner_layer<double>();
    const moe::residual with{layer, {.skip = 0.25, .scale = 4.0}};
    const auto x = moe::testing::random_matrix<double>(3, 4, 3);
    moe::reference backend;
    moe::matrix<double> y(3, 4), inner(3, 4);
    with(backend, x, y);
    layer(backend, x, inner);
    for (moe::index_t t = 0; t < 3; ++t) {
        for (moe::index_t j = 0; j < 4; ++j) CHECK(y(t, j) == Approx(0.25 * x(t, j) + 4 * inner(t, j)));
    }
}

TEST_CASE("an iterated layer applies its residual steps one after the other") {
    moe::matrix<double> x(1, 1), y(1, 1);
    x(0, 0) = 2;
    moe::reference backend;
    const moe::iterated twice{halves<double>(), {}, {.times = 2}};
    twice(backend, x, y);
    CHECK(y(0, 0) == Approx(4.5));
    const moe::iterated once{halves<double>()};
    once(backend, x, y);
    CHECK(y(0, 0) == Approx(3.0));
    const moe::iterated bare{halves<double>(), {}, {.times = 3, .inner_residual = false}};
    bare(backend, x, y);
    CHECK(y(0, 0) == Approx(0.25));
}

TEST_CASE("experts that give nothing make an iterated layer the identity") {
    moe::layer nothing{small_router<double>(4, 3), moe::null_bank<double>{{.features = 4, .experts = 3}}};
    const moe::iterated five{nothing, {}, {.times = 5}};
    const auto x = moe::testing::random_matrix<double>(3, 4, 3);
    moe::matrix<double> y(3, 4);
    moe::reference backend;
    five(backend, x, y);
    CHECK(moe::testing::same_bits(x, y));
}

TEST_CASE("every pass has a plan of its own; changing a later router leaves earlier plans as they were") {
    auto layer = three_passes<double>();
    const auto x = moe::testing::random_matrix<double>(5, 4, 3);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    moe::tape<double> tape;
    moe::matrix<double> y(5, 4);
    const auto ids = [&](std::size_t pass) {
        const auto e = tape.child(pass).routing().routes.expert;
        return std::vector<moe::index_t>(e.begin(), e.end());
    };
    layer.forward(backend, in, y.view(), tape);
    const auto first = ids(0);
    const auto second = ids(1);
    for (double& w : layer.routers[0].step<0>().weight.span()) w = -w;
    layer.forward(backend, in, y.view(), tape);
    CHECK(ids(0) == first);
    CHECK(ids(1) != second);
    CHECK(tape.plan().rows() == tape.child(0).plan().rows());
}

TEST_CASE("layers made of layers refuse what does not fit") {
    moe::layer wide{small_router<float>(4, 3), moe::null_bank<float>{{.features = 4, .experts = 3, .outputs = 5}}};
    CHECK_THROWS_WITH(moe::residual{wide}, "moe: residual: outputs of the layer: wanted 4 (its features), got 5");
    CHECK_THROWS_WITH(moe::iterated{wide}, "moe: iterated: outputs of the layer: wanted 4 (its features), got 5");
    CHECK_THROWS_WITH((moe::iterated{inner_layer<float>(), {other_router<float>(1)}, {.times = 3}}),
                      "moe: iterated.times: wanted 0 or 2 (routers), got 3");
    CHECK_THROWS_WITH((moe::iterated{inner_layer<float>(), {small_router<float>(4, 5)}}),
                      "moe: iterated: experts of a router: wanted 3, got 5");
    const moe::residual layer{inner_layer<float>()};
    moe::tape<float> tape;
    moe::matrix<float> dy(2, 4), dx(2, 4);
    auto g = layer.make_gradient();
    moe::reference backend;
    CHECK_THROWS_AS(layer.backward(backend, dy.view(), tape, dx.view(), g), moe::error);
}
