#include "backend/problem.hpp"

using namespace test;

namespace {

template <class T>
using vec = moe::simd_vector<T>;

// The elements of f(argument, argument, ...).
template <class T, class F>
std::vector<T> elements(const F& f) {
    std::vector<T> out(static_cast<std::size_t>(vec<T>::size));
    f().store(out.data());
    return out;
}

// A vector that starts with the given elements; the rest repeats the last one.
template <class T>
vec<T> of(const std::vector<T>& v) {
    std::vector<T> whole(static_cast<std::size_t>(vec<T>::size), v.back());
    std::copy_n(v.begin(), std::min(v.size(), whole.size()), whole.begin());
    return vec<T>::load(whole.data());
}

template <class T>
constexpr T nan_of = std::numeric_limits<T>::quiet_NaN();

}  // namespace

TEMPLATE_TEST_CASE("vectors load, store and calculate element by element", "", float, double) {
    using T = TestType;
    using V = vec<T>;
    const auto n = static_cast<std::size_t>(V::size);
    std::vector<T> x(n + 1), y(n + 1);
    for (std::size_t i = 0; i <= n; ++i) {
        x[i] = T(i) - T(1.5);
        y[i] = T(2) + T(i * i);
    }
    const V a = V::load(x.data() + 1), b = V::load(y.data() + 1);
    const auto sum = elements<T>([&] { return a + b; }), difference = elements<T>([&] { return a - b; });
    const auto product = elements<T>([&] { return a * b; }), quotient = elements<T>([&] { return a / b; });
    const auto negative = elements<T>([&] { return -a; }), constant = elements<T>([&] { return V(0.1); });
    const auto fused = elements<T>([&] { return fma(a, b, V(3)); });
    T total = 0;
    for (std::size_t i = 0; i < n; ++i) {
        CHECK(sum[i] == x[i + 1] + y[i + 1]);
        CHECK(difference[i] == x[i + 1] - y[i + 1]);
        CHECK(product[i] == x[i + 1] * y[i + 1]);
        CHECK(quotient[i] == x[i + 1] / y[i + 1]);
        CHECK(negative[i] == -x[i + 1]);
        CHECK(constant[i] == static_cast<T>(0.1));
        CHECK(fused[i] == x[i + 1] * y[i + 1] + T(3));
        total += x[i + 1];
    }
    CHECK(reduce_add(a) == total);  // small multiples of 1/2: exact in any order
}

TEMPLATE_TEST_CASE("partial loads and stores touch the elements they name", "", float, double) {
    using T = TestType;
    using V = vec<T>;
    for (index_t count = 1; count <= V::size; ++count) {
        std::vector<T> in(static_cast<std::size_t>(count), T(7));  // an address sanitizer sees one element too many
        const auto loaded = elements<T>([&] { return V::load_partial(in.data(), count); });
        for (index_t i = 0; i < V::size; ++i) CHECK(loaded[std::size_t(i)] == (i < count ? T(7) : T(0)));
        std::vector<T> out(static_cast<std::size_t>(V::size), T(1));
        V(5).store_partial(out.data(), count);
        for (index_t i = 0; i < V::size; ++i) CHECK(out[std::size_t(i)] == (i < count ? T(5) : T(1)));
    }
}

TEMPLATE_TEST_CASE("min, max and if_less order NaN like their scalar twins", "", float, double) {
    using T = TestType;
    const T nan = nan_of<T>, inf = std::numeric_limits<T>::infinity();
    const std::vector<T> values{T(-1), T(0), T(-0.0), T(2), nan, inf, -inf};
    const auto same = [](T a, T b) { return std::memcmp(&a, &b, sizeof(T)) == 0; };
    for (const T a : values) {
        for (const T b : values) {
            INFO("a " << a << ", b " << b);
            const vec<T> va(a), vb(b);
            CHECK(same(elements<T>([&] { return moe::simd_math::min(va, vb); })[0], moe::scalar_math::min(a, b)));
            CHECK(same(elements<T>([&] { return moe::simd_math::max(va, vb); })[0], moe::scalar_math::max(a, b)));
            CHECK(elements<T>([&] { return moe::simd_math::if_less(va, vb, vec<T>(3), vec<T>(4)); })[0] ==
                  moe::scalar_math::if_less(a, b, T(3), T(4)));
        }
    }
}

TEMPLATE_TEST_CASE("exp, tanh and erf are accurate to a few units in the last place, and pass NaN on", "", float,
                   double) {
    using T = TestType;
    using V = vec<T>;
    const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
    double worst_exp = 0, worst_tanh = 0, worst_erf = 0;
    for (double v = -20.0; v <= 20.0; v += 0.0371) {
        const T x = static_cast<T>(v);
        const auto error = [&](T got, double wanted) {
            return std::abs(static_cast<double>(got) - wanted) / std::abs(wanted) / epsilon;
        };
        const double exact = static_cast<double>(x);
        worst_exp =
            std::max(worst_exp, error(elements<T>([&] { return moe::simd_math::exp(V(x)); })[0], std::exp(exact)));
        worst_tanh =
            std::max(worst_tanh, error(elements<T>([&] { return moe::simd_math::tanh(V(x)); })[0], std::tanh(exact)));
        worst_erf =
            std::max(worst_erf, error(elements<T>([&] { return moe::simd_math::erf(V(x)); })[0], std::erf(exact)));
    }
    CHECK(worst_exp <= 4.0);
    CHECK(worst_tanh <= 4.0);
    CHECK(worst_erf <= 64.0);  // xsimd's erf for double
    // One bad element among good ones: the others keep their bits.
    const auto mixed = of<T>({nan_of<T>, T(0.5)}), good = of<T>({T(0.25), T(0.5)});
    const auto check_nan = [&](auto f) {
        const auto m = elements<T>([&] { return f(mixed); }), g = elements<T>([&] { return f(good); });
        CHECK(std::isnan(m[0]));
        for (std::size_t i = 1; i < m.size(); ++i) CHECK(m[i] == g[i]);
    };
    check_nan([](V v) { return moe::simd_math::exp(v); });
    check_nan([](V v) { return moe::simd_math::tanh(v); });
    check_nan([](V v) { return moe::simd_math::erf(v); });
    CHECK(elements<T>([] { return moe::simd_math::exp(V(-1e4)); })[0] == T(0));
    CHECK(std::isinf(elements<T>([] { return moe::simd_math::exp(V(1e4)); })[0]));
}

TEMPLATE_TEST_CASE("a square of registers is transposed", "", float, double) {
    using T = TestType;
    constexpr index_t n = vec<T>::size, stride = n + 5;
    std::vector<T> from(std::size_t(n * stride));
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<T>(i);
    moe::buffer<T> to(std::size_t(n) * 64);
    moe::detail::transpose_square(from.data(), stride, to.data(), 64);
    for (index_t i = 0; i < n; ++i) {
        for (index_t j = 0; j < n; ++j) CHECK(to[std::size_t(j * 64 + i)] == from[std::size_t(i * stride + j)]);
    }
}
