#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

template <class T>
auto make_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<T>{{.features = 5, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}},
        moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 4}}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gradients accumulated over micro-batches equal those of the whole batch", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend b;
    const auto layer = make_layer<T>();
    const auto x = moe::testing::random_matrix<T>(12, 5, 1);
    const auto dy = moe::testing::random_matrix<T>(12, 5, 2);
    moe::matrix<T> y(12, 5), dx(12, 5), dx_parts(12, 5);
    moe::tape<T> tape;
    const auto run = [&](moe::index_t first, moe::index_t count, moe::matrix<T>& d, auto& gradient) {
        moe::batch<T> in;
        in.x = x.view().middle_rows(first, count);
        layer.forward(b, in, y.view().middle_rows(first, count), tape);
        layer.backward(b, dy.view().middle_rows(first, count), tape, d.view().middle_rows(first, count), gradient);
    };
    auto whole = moe::make_gradient(layer);
    auto parts = moe::make_gradient(layer);
    run(0, 12, dx, whole);
    run(0, 5, dx_parts, parts);
    run(5, 0, dx_parts, parts);
    run(5, 7, dx_parts, parts);
    CHECK(moe::testing::same_bits(dx, dx_parts));
    moe::visit_parameters(
        [&](const moe::parameter_name& name, const auto&, auto& a, auto& c) {
            const auto u = moe::flat(a);
            const auto v = moe::flat(c);
            INFO(name.text());
            CHECK(relative_error(moe::matrix_view<const T>(u.data(), 1, moe::index_t(u.size())),
                                 moe::matrix_view<const T>(v.data(), 1, moe::index_t(v.size()))) <=
                  tolerance<T>::gradient);
        },
        layer, whole, parts);
}

TEST_CASE("a tape serves one backward of the layer and backend that recorded it") {
    const auto layer = make_layer<float>();
    const moe::layer other{
        moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4}}, moe::top_k{.k = 2}},
        moe::swiglu_bank<float>{{.features = 5, .hidden = 7, .experts = 4}}};
    moe::reference b;
    moe::cpu c;
    const auto x = moe::testing::random_matrix<float>(3, 5, 1);
    moe::matrix<float> y(3, 5), dx(3, 5);
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    auto g = moe::make_gradient(layer);
    auto other_g = moe::make_gradient(other);
    CHECK_THROWS_AS(tape.plan(), moe::value_error);
    layer.forward(b, in, y.view(), tape);
    CHECK_THROWS_AS(other.backward(b, y.view(), tape, dx.view(), other_g), moe::value_error);
    CHECK_THROWS_AS(layer.backward(c, y.view(), tape, dx.view(), g), moe::value_error);
    layer.backward(b, y.view(), tape, dx.view(), g);
    CHECK_THROWS_AS(layer.backward(b, y.view(), tape, dx.view(), g), moe::value_error);
}

TEST_CASE("a batch-coupled selector is refused where the batch asks for a causal router") {
    const moe::layer coupled{moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4}}, moe::softmax{},
                                         moe::expert_choice{}},
                             moe::swiglu_bank<float>{{.features = 5, .hidden = 7, .experts = 4}}};
    const auto layer = make_layer<float>();
    CHECK((moe::traits_of(layer).causal && !moe::traits_of(coupled).causal));
    moe::reference b;
    const auto x = moe::testing::random_matrix<float>(3, 5, 1);
    moe::batch<float> in;
    in.x = x;
    in.causal = true;
    CHECK_NOTHROW(layer(b, in));
    CHECK_THROWS_WITH(coupled(b, in),
                      "moe: router: step 2 (expert_choice): wanted a step that lets no token see later ones, because "
                      "batch.causal is set, got one whose choice for a token depends on the other tokens");
}

TEMPLATE_LIST_TEST_CASE("masked tokens get exact zeros, no slot and no gradient", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend b;
    const moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = 5, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}},
        moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 4, .bias = true}},
        moe::shared{moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 1, .bias = true}}}};
    const auto x = moe::testing::random_matrix<T>(4, 5, 1);
    const std::vector<std::uint8_t> mask{1, 0, 1, 0};
    moe::batch<T> in;
    in.x = x;
    in.mask = mask;
    const auto result = moe::testing::train_once(b, layer, in);
    for (const moe::index_t t : {1, 3}) {
        for (moe::index_t j = 0; j < 5; ++j) {
            CHECK(result.y(t, j) == T(0));
            CHECK(result.dx(t, j) == T(0));
        }
    }
    moe::arena memory;
    const auto s = layer.route(b, in, memory);
    CHECK(s.routes.expert[2] == -1);
    CHECK(s.routes.weight[2] == T(0));
    CHECK(s.routes.expert[0] >= 0);
}
