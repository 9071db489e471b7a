#include "moe/score/temperature.hpp"

#include "score/step_support.hpp"

TEMPLATE_LIST_TEST_CASE("temperature divides every score", "", every_backend) {
    const auto r = route_logits<TestType>({{1, -3, 0, infinity}, {-infinity, not_a_number, 8, 2}}, moe::temperature{4});
    check_close(r.scores, {{0.25, -0.75, 0, infinity}, {-infinity, not_a_number, 2, 0.5}});
}

TEMPLATE_LIST_TEST_CASE("a low temperature sharpens the softmax, a high one flattens it", "", every_backend) {
    const auto sharp = route_logits<TestType>({{1, 2}}, moe::temperature{0.5}, moe::softmax{});
    const auto flat = route_logits<TestType>({{1, 2}}, moe::temperature{2}, moe::softmax{});
    check_close(sharp.scores, {{0.11920292202211755, 0.88079707797788245}});
    check_close(flat.scores, {{0.37754066879814541, 0.62245933120185459}});
}

TEST_CASE("temperature's gradient equals central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 12);
    moe::batch<double> in;
    in.x = x;
    check_derivatives(layer_around<double>(moe::temperature{0.3}, moe::softmax{}, moe::top_k{.k = 2}), in);
}

TEMPLATE_LIST_TEST_CASE("a layer with temperature keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 12);
    moe::batch<T> in;
    in.x = x;
    check_laws<typename TestType::backend>(layer_around<T>(moe::temperature{3}, moe::softmax{}, moe::top_k{.k = 2}),
                                           in);
}

TEST_CASE("temperature refuses what is not positive and finite") {
    CHECK(refused(moe::temperature{0}) ==
          "moe: temperature.value: wanted a positive finite number, got 0.000000");
    CHECK(refused(moe::temperature{-1}) != "");
    CHECK(refused(moe::temperature{infinity}) != "");
    CHECK(refused(moe::temperature{not_a_number}) != "");
    CHECK(refused(moe::temperature{1e-3}) == "");
}
