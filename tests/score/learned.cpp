// Score steps with one or few learned numbers: logit_bias, learned_scale, learned_temperature.
#include "score/step_support.hpp"

namespace {

template <class T>
moe::logit_bias<T> some_logit_bias() {
    moe::logit_bias<T> step(8);
    for (moe::index_t e = 0; e < 8; ++e) step.bias(0, e) = T(0.25) * T(e % 3);
    return step;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("logit_bias adds its numbers to choice and weights", "", every_backend) {
    using T = typename TestType::scalar;
    moe::logit_bias<T> step(3);
    const auto untouched = route_logits<TestType>({{1, -2, 0.5}}, step);
    CHECK(moe::testing::same_bits(untouched.scores, untouched.logits));
    step.bias(0, 1) = T(4);
    const auto r = route_logits<TestType>({{1, -2, 0.5}}, step);
    check_close(r.scores, {{1, 2, 0.5}});
    CHECK(r.expert == std::vector<moe::index_t>{1});
    CHECK(r.weight == std::vector<T>{2});
}

TEMPLATE_LIST_TEST_CASE("learned_scale multiplies by factor and scale", "", every_backend) {
    using T = typename TestType::scalar;
    check_close(route_logits<TestType>({{1, -2}}, moe::learned_scale<T>{.factor = 4, .scale = T(0.5)}).scores,
                {{2, -4}});
}

TEMPLATE_LIST_TEST_CASE("learned_temperature divides and stops at its smallest value", "", every_backend) {
    using T = typename TestType::scalar;
    moe::learned_temperature<T> step{{.initial = 0.5, .smallest = 0.25}};
    CHECK(double(step.value()) == Approx(0.5));
    check_close(route_logits<TestType>({{1, -2}}, step).scores, {{2, -4}});
    step.log_scale = T(50);
    CHECK(double(step.value()) == Approx(0.25));
    check_close(route_logits<TestType>({{1, -2}}, step).scores, {{4, -8}});
}

TEST_CASE("the gradients of learned steps equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 17);
    moe::batch<double> in;
    in.x = x;
    const moe::top_k two{.k = 2};
    SECTION("logit_bias") {
        check_derivatives(layer_around<double>(some_logit_bias<double>(), moe::softmax{}, two), in);
    }
    SECTION("learned_scale") {
        const moe::learned_scale<double> step{.factor = 0.5, .scale = 1.5};
        check_derivatives(layer_around<double>(step, moe::softmax{}, two), in);
    }
    SECTION("learned_temperature") {
        const moe::learned_temperature<double> step{{.initial = 0.7}};
        check_derivatives(layer_around<double>(step, moe::softmax{}, two), in);
    }
    SECTION("learned_temperature at its floor, and behind a mask") {
        const moe::expert_mask mask{rows_of<std::uint8_t>({{1, 1, 0, 1, 1, 0, 1, 1}})};
        moe::learned_temperature<double> step{{.initial = 0.7, .smallest = 0.5}};
        step.log_scale = 3;
        const auto layer = layer_around<double>(mask, step, moe::softmax{}, two);
        check_derivatives(layer, in);
        CHECK(gradient_of<moe::reference>("router.2.log_scale", layer, in) == std::vector<double>{0});
    }
    SECTION("learned_scale behind a mask") {
        const moe::expert_mask mask{rows_of<std::uint8_t>({{1, 1, 0, 1, 1, 0, 1, 1}})};
        check_derivatives(layer_around<double>(mask, moe::learned_scale<double>{}, moe::softmax{}, two), in);
    }
}

TEST_CASE("learned steps have gradients that are not zero") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 17);
    moe::batch<double> in;
    in.x = x;
    const auto layer = layer_around<double>(some_logit_bias<double>(), moe::learned_scale<double>{},
                                            moe::learned_temperature<double>{}, moe::softmax{}, moe::top_k{.k = 2});
    for (const char* name : {"router.1.bias", "router.2.scale", "router.3.log_scale"}) {
        const auto g = gradient_of<moe::cpu>(name, layer, in);
        INFO(name);
        CHECK(std::any_of(g.begin(), g.end(), [](double d) { return d != 0; }));
    }
}

TEST_CASE("learned steps refuse options out of range") {
    CHECK(thrown<moe::value_error>([] { moe::logit_bias<float>{0}; }) ==
          "moe: logit_bias.experts: wanted at least 1, got 0");
    CHECK(refused<moe::shape_error>(moe::logit_bias<float>{7}) == "moe: logit_bias.bias: wanted [1, 8], got [1, 7]");
    CHECK(refused(moe::learned_scale<float>{.factor = infinity}) ==
          "moe: learned_scale.factor: wanted a finite number, got inf");
    CHECK(thrown<moe::value_error>([] { moe::learned_temperature<float>{{.initial = 0}}; }) ==
          "moe: learned_temperature.initial: wanted a positive finite number, got 0.000000");
    CHECK(thrown<moe::value_error>([] { moe::learned_temperature<float>{{.smallest = not_a_number}}; }) != "");
}
