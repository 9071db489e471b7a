#include "moe/route/softmax_selected.hpp"

#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using weights = std::vector<double>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("softmax over the selected keeps the laws of layers and its gradient is exact", "",
                        every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::softmax_selected{}); });
    check_steps<TestType>([]<class T>() { return layer_of<T>(2, moe::softmax_selected{.temperature = 0.1}); });
    check_steps<TestType>([]<class T>() {
        return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::top_k{.k = 2},
                                      moe::softmax_selected{}},
                          moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
    });
}

TEST_CASE("softmax over the selected normalises the live slots of each token") {
    const double e = std::exp(1.0);
    const auto r = apply(moe::softmax_selected{}, {{0, 2, 4, 5}, {1, 0, 2, -1, 3}, {1, 0, 7, 0, -3}});
    CHECK(r.weight[0] == Approx(e / (1 + e)).epsilon(1e-15));
    CHECK(r.weight[1] == Approx(1 / (1 + e)).epsilon(1e-15));
    CHECK(weights(r.weight.begin() + 2, r.weight.end()) == weights{1, 0, 1});
}

TEST_CASE("softmax over the selected divides by the temperature first") {
    const auto r = apply(moe::softmax_selected{.temperature = 0.5}, {{0, 2}, {1, 0}, {1, 0}});
    CHECK(r.weight[0] == Approx(1 / (1 + std::exp(-2.0))).epsilon(1e-15));
}

TEST_CASE("softmax over the selected gives 0 where all weights are -inf, and keeps NaN in its token") {
    const double inf = std::numeric_limits<double>::infinity();
    const double nan = std::nan("");
    const auto r = apply(moe::softmax_selected{}, {{0, 2, 4, 6, 8}, {0, 1, 0, 1, 0, 1, 2, 3},
                                                   {-inf, -inf, nan, 1, inf, 1, 0, 0}});
    CHECK(weights(r.weight.begin(), r.weight.begin() + 2) == weights{0, 0});
    for (std::size_t i = 2; i < 6; ++i) CHECK(std::isnan(r.weight[i]));
    CHECK(weights(r.weight.begin() + 6, r.weight.end()) == weights{0.5, 0.5});
}

TEST_CASE("softmax over the selected survives weights of any size") {
    const auto r = apply(moe::softmax_selected{}, {{0, 2}, {0, 1}, {1e300, -1e300}});
    CHECK(r.weight == weights{1, 0});
}

TEST_CASE("softmax over the selected refuses a temperature that is not above 0") {
    CHECK_THROWS_WITH((moe::softmax_selected{.temperature = 0}.check(moe::batch<float>{}, 4, 4)),
                      "moe: softmax_selected.temperature: wanted a finite number above 0, got 0.000000");
    CHECK_THROWS_AS((moe::softmax_selected{.temperature = std::nan("")}.check(moe::batch<float>{}, 4, 4)),
                    moe::value_error);
}
