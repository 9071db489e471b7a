#include "moe/layer/any_layer.hpp"

#include "moe/moe.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

template <class T>
auto make_layer(moe::index_t k) {
    return moe::layer{
        moe::router{moe::linear_gate<T>{{.features = 5, .experts = 4}}, moe::sigmoid{}, moe::selection_bias{4},
                    moe::top_k{.k = k}, moe::renormalize{}},
        moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 4}}};
}

}  // namespace

TEST_CASE("a layer behind any_layer gives the bits of the layer itself, forward and backward") {
    const auto layer = make_layer<float>(2);
    const moe::any_layer<float> any = layer;
    const auto x = moe::testing::random_matrix<float>(9, 5, 1);
    moe::batch<float> in;
    in.x = x;
    moe::cpu b{{.threads = 2}};
    CHECK(any.features() == 5);
    CHECK(any.outputs() == 5);
    CHECK(any.experts() == 4);
    CHECK(moe::testing::same_bits(any(b, in), layer(b, in)));
    auto direct = moe::testing::train_once(b, layer, in);
    auto erased = moe::testing::train_once(b, any, in);
    CHECK(moe::testing::same_bits(direct.y, erased.y));
    CHECK(moe::testing::same_bits(direct.dx, erased.dx));
    std::vector<float> a, c;
    const auto collect = [](std::vector<float>& out) {
        return [&out](const moe::parameter_name&, const auto&, auto& g) {
            const auto v = moe::flat(g);
            out.insert(out.end(), v.begin(), v.end());
        };
    };
    auto copy = layer;
    moe::any_layer<float> any_copy = any;
    moe::visit_parameters(collect(a), copy, direct.gradient);
    moe::visit_parameters(collect(c), any_copy, erased.gradient);
    CHECK(!a.empty());
    CHECK(a == c);
}

TEST_CASE("any_layer's gradients equal central differences") {
    moe::any_layer<double, moe::reference> any = make_layer<double>(2);
    const auto x = moe::testing::random_matrix<double>(6, 5, 1);
    moe::reference backend;
    moe::batch<double> in;
    in.x = x;
    const auto report = moe::testing::check_gradients(backend, any, in);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
    CHECK(report.checked > 100);
}

TEST_CASE("any_layer copies deeply and hands out the layer inside by its type") {
    using held = decltype(make_layer<float>(2));
    moe::any_layer<float> any = make_layer<float>(2);
    moe::any_layer<float> copy = any;
    REQUIRE(any.target<held>() != nullptr);
    moe::get<moe::selection_bias>(*any.target<held>()).bias[0] = 7.0f;
    CHECK(moe::get<moe::selection_bias>(*copy.target<held>()).bias[0] == 0.0f);
    CHECK(any.target<moe::layer<moe::router<moe::linear_gate<float>, moe::top_k>, moe::swiglu_bank<float>>>() ==
          nullptr);
    int states = 0;
    moe::visit_state([&](const moe::parameter_name& name, auto&) {
        CHECK(name.text() == "router.2.bias");
        ++states;
    }, any);
    CHECK(states == 1);
}

TEST_CASE("a gradient of another type of layer is refused") {
    const moe::any_layer<float> any = make_layer<float>(2);
    const moe::any_layer<float> other = moe::layer{
        moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4}}, moe::top_k{.k = 2}},
        moe::ffn_bank<float, moe::gelu>{{.features = 5, .hidden = 7, .experts = 4}}};
    moe::cpu b;
    const auto x = moe::testing::random_matrix<float>(3, 5, 1);
    moe::matrix<float> y(3, 5), dx(3, 5);
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    any.forward(b, in, y.view(), tape);
    auto wrong = other.make_gradient();
    CHECK_THROWS_WITH(any.backward(b, y.view(), tape, dx.view(), wrong),
                      "moe: gradient: wanted one made by this layer, got one made by another type of layer");
}

TEST_CASE("first_touch refuses a layer behind any_layer, and moves one that is not") {
    auto layer = make_layer<float>(2);
    moe::any_layer<float> any = layer;
    moe::cpu b;
    CHECK_THROWS_WITH(moe::first_touch(b, any), Catch::Contains("0.weight") && Catch::Contains("before any_layer"));
    moe::first_touch(b, layer);
    CHECK(&layer.experts().up.space() == &moe::space_of<moe::huge_pages>);
    moe::batch<float> in;
    const auto x = moe::testing::random_matrix<float>(9, 5, 1);
    in.x = x;
    CHECK(moe::testing::same_bits(any(b, in), layer(b, in)));
}
