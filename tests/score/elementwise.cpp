// Score steps that look at one score at a time: soft_cap, sqrt_softplus, relu_score, identity_score.
#include "score/step_support.hpp"

TEMPLATE_LIST_TEST_CASE("soft_cap bends scores into the cap and leaves small ones", "", every_backend) {
    const auto r = route_logits<TestType>({{0, 2, -4, 100, 0.001}, {infinity, -infinity, not_a_number, -2, 0}},
                                          moe::soft_cap{2});
    check_close(r.scores, {{0, 1.5231883119115293, -1.9280551601516338, 2, 0.0009999999166666752},
                           {2, -2, not_a_number, -1.5231883119115293, 0}});
}

TEMPLATE_LIST_TEST_CASE("sqrt_softplus gives hand values and exact ends", "", every_backend) {
    const auto r = route_logits<TestType>({{0, 1, -2, 100, -20}, {infinity, -infinity, not_a_number, -3000, 3000}},
                                          moe::sqrt_softplus{});
    check_close(r.scores, {{0.83255461115769775, 1.145976303209723, 0.3562695763645452, 10, 4.5399929739090794e-05},
                           {infinity, 0, not_a_number, 0, 54.772255750516614}});
}

TEST_CASE("sqrt_softplus scores that underflow keep a finite gradient") {
    const auto x = rows_of<double>({{-2000, 1, 3}});
    moe::batch<double> in;
    in.x = x;
    const moe::layer layer{moe::router{copy_gate<double>{3}, moe::sqrt_softplus{}, moe::top_k{.k = 3}},
                           moe::swiglu_bank<double>{{.features = 3, .hidden = 2, .experts = 3}}};
    moe::reference backend;
    const auto result = moe::testing::train_once(backend, layer, in);
    for (const double d : result.dx.span()) CHECK(std::isfinite(d));
}

TEMPLATE_LIST_TEST_CASE("relu_score cuts below 0 and keeps NaN", "", every_backend) {
    const auto r = route_logits<TestType>({{-1, 0, 2, -infinity, infinity, not_a_number}}, moe::relu_score{});
    check_close(r.scores, {{0, 0, 2, 0, infinity, not_a_number}});
}

TEMPLATE_LIST_TEST_CASE("identity_score keeps every bit", "", every_backend) {
    const auto r = route_logits<TestType>({{-1, 0, 2, -infinity, infinity}}, moe::identity_score{});
    CHECK(moe::testing::same_bits(r.scores, r.logits));
}

TEST_CASE("the gradients of elementwise score steps equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 15);
    moe::batch<double> in;
    in.x = x;
    const moe::top_k three{.k = 3};
    SECTION("soft_cap") { check_derivatives(layer_around<double>(moe::soft_cap{0.7}, three), in); }
    SECTION("sqrt_softplus") { check_derivatives(layer_around<double>(moe::sqrt_softplus{}, three), in); }
    SECTION("relu_score") { check_derivatives(layer_around<double>(moe::relu_score{}, three), in); }
    SECTION("identity_score") { check_derivatives(layer_around<double>(moe::identity_score{}, three), in); }
}

TEST_CASE("soft_cap refuses a cap that is not positive and finite") {
    CHECK(refused(moe::soft_cap{0}) == "moe: soft_cap.cap: wanted a positive finite number, got 0.000000");
    CHECK(refused(moe::soft_cap{not_a_number}) != "");
    CHECK(refused(moe::soft_cap{infinity}) != "");
}
