#include "moe/key/keys_only.hpp"

#include "score/step_support.hpp"

TEMPLATE_LIST_TEST_CASE("keys_only changes the choice and leaves scores and weights", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::expert_mask mask{rows_of<std::uint8_t>({{1, 0, 1}})};
    const auto r = route_logits<TestType>({{0, 5, 1}}, moe::keys_only{mask});
    check_close(r.scores, {{0, 5, 1}});
    check_close(r.keys, {{0, -infinity, 1}});
    CHECK(r.expert == std::vector<moe::index_t>{2});
    CHECK(r.weight == std::vector<T>{1});
}

TEMPLATE_LIST_TEST_CASE("keys_only noise moves choices in training, and weights stay clean scores", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::router router{copy_gate<T>{4}, moe::softmax{}, moe::keys_only{moe::gaussian_noise{.sigma = 10}},
                             moe::top_k{.k = 1}};
    const auto x = moe::testing::random_matrix<T>(50, 4, 20);
    moe::batch<T> in;
    in.x = x;
    const auto still = route<typename TestType::backend>(router, in);
    in.training = true;
    const auto moved = route<typename TestType::backend>(router, in);
    CHECK(still.expert != moved.expert);
    CHECK(moe::testing::same_bits(still.scores, moved.scores));
    for (std::size_t t = 0; t < moved.expert.size(); ++t) {
        CHECK(moved.weight[t] == moved.scores(moe::index_t(t), moved.expert[t]));
    }
}

TEST_CASE("keys_only has no gradient of its own and hides none") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 21);
    moe::batch<double> in;
    in.x = x;
    in.training = true;
    check_derivatives(layer_around<double>(moe::softmax{}, moe::keys_only{moe::gaussian_noise{.sigma = 0.5}},
                                           moe::top_k{.k = 2}),
                      in);
}

TEMPLATE_LIST_TEST_CASE("a layer with keys_only keeps the laws of layers in training", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 21);
    moe::batch<T> in;
    in.x = x;
    in.training = true;
    check_laws<typename TestType::backend>(
        layer_around<T>(moe::softmax{}, moe::keys_only{moe::gaussian_noise{}}, moe::top_k{.k = 2}), in);
}

TEST_CASE("keys_only passes the step's checks on") {
    CHECK(refused(moe::keys_only{moe::temperature{-2}}) ==
          "moe: temperature.value: wanted a positive finite number, got -2.000000");
}
