// Score steps that normalise a row: l2_normalize, rms_normalize, standardize.
#include "score/step_support.hpp"

TEMPLATE_LIST_TEST_CASE("l2_normalize divides a row by its length", "", every_backend) {
    const auto r = route_logits<TestType>({{3, -4, 0}, {0, 0, 0}, {-infinity, 6, 8}, {1, not_a_number, 1}},
                                          moe::l2_normalize{1e-20});
    check_close(r.scores,
                {{0.6, -0.8, 0}, {0, 0, 0}, {-infinity, 0.6, 0.8}, {not_a_number, not_a_number, not_a_number}});
}

TEMPLATE_LIST_TEST_CASE("rms_normalize divides a row by its root mean square and applies the gain", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::rms_normalize<T> plain;
    const auto r = route_logits<TestType>({{2, 0, 0, 1}, {0, 0, 0, 0}, {4, 0, 0, 2}}, plain);
    check_close(r.scores, {{1.7888536664585082, 0, 0, 0.8944268332292541},
                           {0, 0, 0, 0},
                           {1.7888542031144203, 0, 0, 0.8944271015572102}});
    moe::rms_normalize<T> gained{{.columns = 4, .epsilon = 1e-12}};
    CHECK(gained.gain(0, 2) == T(1));
    gained.gain(0, 0) = T(3);
    gained.gain(0, 3) = T(-1);
    check_close(route_logits<TestType>({{2, 0, 0, 1}}, gained).scores, {{5.366563145997349, 0, 0, -0.894427190999558}});
}

TEMPLATE_LIST_TEST_CASE("standardize gives every row mean 0 and variance 1", "", every_backend) {
    const auto r = route_logits<TestType>({{1, 2, 3, 4}, {7, 7, 7, 7}, {1, infinity, 2, 3}}, moe::standardize{1e-12});
    check_close(r.scores, {{-1.341640786499874, -0.4472135954999579, 0.4472135954999579, 1.341640786499874},
                           {0, 0, 0, 0},
                           {not_a_number, not_a_number, not_a_number, not_a_number}});
}

TEST_CASE("the gradients of normalisations equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 16);
    moe::batch<double> in;
    in.x = x;
    const moe::top_k three{.k = 3};
    SECTION("l2_normalize") { check_derivatives(layer_around<double>(moe::l2_normalize{0.1}, three), in); }
    SECTION("l2_normalize behind a mask") {
        const moe::expert_mask mask{rows_of<std::uint8_t>({{1, 1, 0, 1, 1, 0, 1, 1}})};
        check_derivatives(layer_around<double>(mask, moe::l2_normalize{}, three), in);
    }
    SECTION("rms_normalize") { check_derivatives(layer_around<double>(moe::rms_normalize<double>{}, three), in); }
    SECTION("rms_normalize with gain") {
        moe::rms_normalize<double> step{{.columns = 8, .epsilon = 0.1}};
        for (moe::index_t e = 0; e < 8; ++e) step.gain(0, e) = 1 + 0.1 * e;
        check_derivatives(layer_around<double>(step, three), in);
    }
    SECTION("standardize") { check_derivatives(layer_around<double>(moe::standardize{0.1}, three), in); }
}

TEST_CASE("a row of zeros has a finite gradient through normalisations") {
    const moe::matrix<double> zeros(2, 4);
    moe::batch<double> in;
    in.x = zeros;
    const moe::layer layer{moe::router{copy_gate<double>{4}, moe::standardize{}, moe::rms_normalize<double>{},
                                       moe::l2_normalize{}, moe::top_k{.k = 2}},
                           moe::constant_bank<double>{{.features = 4, .experts = 4}}};
    moe::reference backend;
    const auto result = moe::testing::train_once(backend, layer, in);
    for (const double d : result.dx.span()) CHECK(std::isfinite(d));
}

TEST_CASE("normalisations refuse an epsilon that is not positive and a gain of another width") {
    CHECK(refused(moe::l2_normalize{0}) == "moe: l2_normalize.epsilon: wanted a positive finite number, got 0.000000");
    CHECK(refused(moe::l2_normalize{not_a_number}) != "");
    CHECK(refused(moe::standardize{-1}) == "moe: standardize.epsilon: wanted a positive finite number, got -1.000000");
    CHECK(refused(moe::rms_normalize<float>{{.epsilon = 0}}) ==
          "moe: rms_normalize.epsilon: wanted a positive finite number, got 0.000000");
    CHECK(refused<moe::shape_error>(moe::rms_normalize<float>{{.columns = 7}}) ==
          "moe: rms_normalize.gain: wanted [1, 8], got [1, 7]");
}
