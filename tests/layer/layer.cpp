#include "moe/layer/layer.hpp"

#include "moe/moe.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

template <class T>
auto small_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<T>{{.features = 5, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2},
                    moe::renormalize{}},
        moe::swiglu_bank<T>{{.features = 5, .hidden = 7, .experts = 4, .bias = true}},
        moe::shared{moe::ffn_bank<T, moe::gelu>{{.features = 5, .hidden = 3, .experts = 2}}}};
}

}  // namespace

TEST_CASE("a layer's gradients equal central differences") {
    auto layer = small_layer<double>();
    const auto x = moe::testing::random_matrix<double>(6, 5, 1);
    moe::reference backend;
    moe::batch<double> in;
    in.x = x;
    const auto report = moe::testing::check_gradients(backend, layer, in);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
    CHECK(report.nonzero);
    CHECK(report.checked > 100);
}

TEMPLATE_TEST_CASE("a layer keeps the laws of layers", "", float, double) {
    const auto layer = small_layer<TestType>();
    const auto x = moe::testing::random_matrix<TestType>(6, 5, 1);
    moe::reference backend;
    moe::batch<TestType> in;
    in.x = x;
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
    CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
}
