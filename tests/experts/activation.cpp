#include "moe/experts/activation.hpp"

#include <limits>

#include "backend/problem.hpp"

using namespace test;

namespace {

template <class A>
double value(double z) {
    return A{}.template value<moe::scalar_math>(z);
}
template <class A>
double gradient(double z, double dh) {
    return A{}.template gradient<moe::scalar_math>(z, dh);
}

template <class T, class A>
T simd_value(T z) {
    using V = moe::simd_vector<T>;
    T out[64];
    A{}.template value<moe::simd_math>(V(z)).store(out);
    return out[V::size - 1];
}
template <class T, class A>
T simd_gradient(T z, T dh) {
    using V = moe::simd_vector<T>;
    T out[64];
    A{}.template gradient<moe::simd_math>(V(z), V(dh)).store(out);
    return out[V::size - 1];
}

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("activations have the values of their formulas") {
    CHECK(value<moe::identity_activation>(-2.5) == -2.5);
    CHECK(value<moe::relu>(-2.0) == 0.0);
    CHECK(value<moe::relu>(3.0) == 3.0);
    CHECK(value<moe::relu_squared>(-2.0) == 0.0);
    CHECK(value<moe::relu_squared>(3.0) == 9.0);
    CHECK(value<moe::silu>(0.0) == 0.0);
    CHECK(value<moe::silu>(1.0) == Approx(0.73105857863000487925).epsilon(1e-14));
    CHECK(value<moe::silu>(-1000.0) == 0.0);
    CHECK(value<moe::gelu>(1.0) == Approx(0.84134474606854292578).epsilon(1e-14));
    CHECK(value<moe::gelu>(-2.0) == Approx(-0.04550026389635841).epsilon(1e-12));
    CHECK(value<moe::gelu_tanh>(1.0) == Approx(0.84119199060827676).epsilon(1e-13));
    CHECK(value<moe::gelu_tanh>(-2.0) == Approx(-0.04540230591222494).epsilon(1e-12));
    CHECK(moe::gated<moe::silu>{}.value<moe::scalar_math>(1.0, -3.0) == Approx(-3 * 0.73105857863000487925));
}

TEMPLATE_TEST_CASE("derivatives of activations equal central differences", "", moe::identity_activation, moe::relu,
                   moe::relu_squared, moe::silu, moe::gelu, moe::gelu_tanh) {
    using A = TestType;
    for (double z = -6.0; z <= 6.0; z += 0.37) {
        INFO("z " << z);
        const double step = 1e-6;
        const double slope = (value<A>(z + step) - value<A>(z - step)) / (2 * step);
        CHECK(std::abs(gradient<A>(z, 1.0) - slope) <= 1e-8);
        CHECK(gradient<A>(z, -2.0) == Approx(-2.0 * gradient<A>(z, 1.0)).margin(1e-15));
        const auto d = moe::gated<A>{}.template gradient<moe::scalar_math>(z, 1.5, 2.0);
        CHECK(d.gate == Approx(2.0 * 1.5 * gradient<A>(z, 1.0)).margin(1e-15));
        CHECK(d.up == Approx(2.0 * value<A>(z)).margin(1e-15));
    }
}

TEST_CASE("the derivative of relu is 0 at 0 and below, also at minus infinity") {
    CHECK(gradient<moe::relu>(0.0, 5.0) == 0.0);
    CHECK(gradient<moe::relu>(-0.0, 5.0) == 0.0);
    CHECK(gradient<moe::relu>(-std::numeric_limits<double>::infinity(), 5.0) == 0.0);
    CHECK(gradient<moe::relu>(1e-300, 5.0) == 5.0);
}

TEMPLATE_TEST_CASE("NaN in gives NaN out, for scalars and for vectors", "", moe::identity_activation, moe::relu,
                   moe::relu_squared, moe::silu, moe::gelu, moe::gelu_tanh) {
    using A = TestType;
    CHECK(std::isnan(value<A>(nan_value)));
    CHECK(std::isnan(simd_value<float, A>(std::numeric_limits<float>::quiet_NaN())));
    CHECK(std::isnan(simd_value<double, A>(nan_value)));
    CHECK(std::isnan(gradient<A>(1.0, nan_value)));
    CHECK(std::isnan(simd_gradient<double, A>(1.0, nan_value)));
    if (!std::is_same_v<A, moe::identity_activation>) {
        CHECK(std::isnan(gradient<A>(nan_value, 1.0)));
        CHECK(std::isnan(simd_gradient<double, A>(nan_value, 1.0)));
        CHECK(std::isnan(simd_gradient<float, A>(std::numeric_limits<float>::quiet_NaN(), 1.0f)));
    }
}

TEMPLATE_TEST_CASE("vectors and scalars agree", "", moe::identity_activation, moe::relu, moe::relu_squared, moe::silu,
                   moe::gelu, moe::gelu_tanh) {
    using A = TestType;
    for (double z = -30.0; z <= 30.0; z += 0.173) {
        INFO("z " << z);
        CHECK(std::abs(simd_value<double, A>(z) - value<A>(z)) <= 1e-14 * (1 + std::abs(z * z)));
        CHECK(std::abs(simd_gradient<double, A>(z, 0.7) - gradient<A>(z, 0.7)) <= 1e-14 * (1 + std::abs(z)));
        const float x = static_cast<float>(z);
        const double exact = static_cast<double>(x);
        CHECK(std::abs(static_cast<double>(simd_value<float, A>(x)) - value<A>(exact)) <= 1e-6 * (1 + exact * exact));
        CHECK(std::abs(static_cast<double>(simd_gradient<float, A>(x, 1.0f)) - gradient<A>(exact, 1.0)) <=
              1e-6 * (1 + std::abs(exact)));
    }
}
