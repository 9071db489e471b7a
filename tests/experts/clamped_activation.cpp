#include "moe/experts/clamped_activation.hpp"

#include "experts/around.hpp"
#include "moe/backend/simd.hpp"
#include "moe/experts/ffn_bank.hpp"

namespace {

double logistic(double z) { return 1 / (1 + std::exp(-z)); }

// Arguments on both sides of limits of 1.5 and at 0; none within a difference step of a kink.
const double arguments[] = {-7.0, -1.6, -1.4, -0.3, 0.0, 0.2, 1.4, 1.6, 9.0};

template <class A, class F>
void check_pairs(const A& act, const F& formula) {
    for (const double g : arguments) {
        for (const double u : arguments) {
            INFO("g = " << g << ", u = " << u);
            CHECK(act.template value<moe::scalar_math>(g, u) == Approx(formula(g, u)).margin(1e-14));
            const double h = 1e-6;
            const auto d = act.template gradient<moe::scalar_math>(g, u, 0.7);
            CHECK(d.gate == Approx(0.7 * (formula(g + h, u) - formula(g - h, u)) / (2 * h)).margin(1e-8));
            CHECK(d.up == Approx(0.7 * (formula(g, u + h) - formula(g, u - h)) / (2 * h)).margin(1e-8));
        }
    }
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(act.template value<moe::scalar_math>(nan, 1.0)));
    CHECK(std::isnan(act.template value<moe::scalar_math>(1.0, nan)));
    CHECK(std::isnan(act.template gradient<moe::scalar_math>(nan, 1.0, 1.0).gate));
}

// The vectors of the CPU backend and the scalars of the reference compute the same function.
template <class A>
void check_vectors(const A& act) {
    using V = moe::simd_vector<double>;
    for (const double g : arguments) {
        for (const double u : arguments) {
            double out[16], gate[16], up[16];
            act.template value<moe::simd_math>(V(g), V(u)).store(out);
            const auto d = act.template gradient<moe::simd_math>(V(g), V(u), V(0.7));
            d.gate.store(gate);
            d.up.store(up);
            const auto wanted = act.template gradient<moe::scalar_math>(g, u, 0.7);
            CHECK(out[0] == Approx(act.template value<moe::scalar_math>(g, u)).margin(1e-14));
            CHECK(gate[0] == Approx(wanted.gate).margin(1e-13));
            CHECK(up[0] == Approx(wanted.up).margin(1e-13));
        }
    }
}

double cut(double z, double limit) { return std::min(std::max(z, -limit), limit); }

}  // namespace

TEST_CASE("scaled SwiGLU is min(g, L) s(alpha min(g, L)) (clamp(u) + 1), with its gradient") {
    const moe::scaled_swiglu act{{.alpha = 1.702, .limit = 1.5}};
    check_pairs(act, [](double g, double u) {
        const double a = std::min(g, 1.5);
        return a * logistic(1.702 * a) * (cut(u, 1.5) + 1);
    });
    check_vectors(act);
}

TEST_CASE("SwiGLU clamped before is silu(min(g, L)) clamp(u), with its gradient") {
    const moe::clamp_before_swiglu act{{.limit = 1.5}};
    check_pairs(act, [](double g, double u) { return std::min(g, 1.5) * logistic(std::min(g, 1.5)) * cut(u, 1.5); });
    check_vectors(act);
}

TEST_CASE("SwiGLU clamped after is min(silu(g), L) clamp(u), with its gradient") {
    const moe::clamp_after_swiglu act{{.limit = 1.5}};
    check_pairs(act, [](double g, double u) { return std::min(g * logistic(g), 1.5) * cut(u, 1.5); });
    check_vectors(act);
}

TEST_CASE("SiTU is beta tanh(g / beta) s(g) lambda tanh(u / lambda), with its gradient") {
    const moe::situ act{{.beta = 2.0, .lambda = 3.0}};
    check_pairs(act,
                [](double g, double u) { return 2.0 * std::tanh(g / 2.0) * logistic(g) * 3.0 * std::tanh(u / 3.0); });
    check_vectors(act);
}

TEST_CASE("the ReLU squared and identity activations have their values and gradients") {
    const moe::relu_squared square;
    const moe::identity_activation same;
    for (const double z : arguments) {
        CHECK(square.value<moe::scalar_math>(z) == (z > 0 ? z * z : 0.0));
        CHECK(square.gradient<moe::scalar_math>(z, 3.0) == (z > 0 ? 6.0 * z : 0.0));
        CHECK(same.value<moe::scalar_math>(z) == z);
        CHECK(same.gradient<moe::scalar_math>(z, 3.0) == 3.0);
    }
}

TEST_CASE("activations with parameters have no silent defaults") {
    CHECK_THROWS_WITH(moe::scaled_swiglu({.alpha = 0, .limit = 7}),
                      "moe: scaled_swiglu.alpha: wanted a number above 0, got 0.000000");
    CHECK_THROWS_WITH(moe::scaled_swiglu({.alpha = 1.702, .limit = std::nan("")}),
                      Catch::Matchers::StartsWith("moe: scaled_swiglu.limit: wanted a number above 0, got"));
    CHECK_THROWS_WITH(moe::clamp_before_swiglu({.limit = -1}),
                      "moe: clamp_before_swiglu.limit: wanted a number above 0, got -1.000000");
    CHECK_THROWS_AS(moe::clamp_after_swiglu({.limit = 0}), moe::value_error);
    CHECK_THROWS_WITH(moe::situ({.beta = 1, .lambda = 0}), "moe: situ.lambda: wanted a number above 0, got 0.000000");
    STATIC_REQUIRE(!std::is_constructible_v<moe::ffn_bank<float, moe::scaled_swiglu>, moe::bank_options>);
    STATIC_REQUIRE(!std::is_default_constructible_v<moe::situ>);
}

TEMPLATE_LIST_TEST_CASE("a bank with a clamped activation keeps the laws of layers", "", every_backend) {
    const auto make = []<class T>(std::type_identity<T>) {
        return moe::ffn_bank<T, moe::scaled_swiglu>{{.features = 5, .hidden = 7, .experts = 3, .bias = true},
                                                    moe::scaled_swiglu{{.alpha = 1.702, .limit = 0.4}}};
    };
    check_bank_laws<TestType>(make);
    check_bank_gradients(make);
}
