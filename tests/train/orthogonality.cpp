#include "moe/train/orthogonality.hpp"

#include "train/weights.hpp"

using moe::index_t;

namespace {

template <class B, class T>
double value(B& b, const moe::panels<T>& w) {
    moe::panels<T> d(w.groups(), w.outputs(), w.inputs());
    return moe::orthogonality{}(b, w, d);
}

}  // namespace

TEST_CASE("the orthogonality loss is 0 for orthogonal rows and 1 for parallel ones, whatever their lengths") {
    moe::reference b;
    moe::panels<double> w(1, 3, 4);
    w(0, 0, 1) = 5.0, w(0, 1, 2) = -0.1, w(0, 2, 3) = 1.0;
    CHECK(value(b, w) == 0.0);
    moe::panels<double> same(2, 3, 2);
    for (index_t g = 0; g < 2; ++g) {
        for (index_t n = 0; n < 3; ++n) same(g, n, 0) = n + 1.0, same(g, n, 1) = -(n + 1.0);
    }
    CHECK(value(b, same) == Approx(1.0));
    same(0, 2, 1) = 3.0;  // orthogonal to the other two of its group: 4 of 6 pairs of one group of two
    CHECK(value(b, same) == Approx((2.0 / 6 + 1.0) / 2));
}

TEST_CASE("the orthogonality loss is right by central differences, also at its optimum") {
    moe::reference b;
    for (const index_t groups : {1, 3}) {
        auto w = weights::random_panels<double>(groups, 4, 5, 3);
        moe::panels<double> d(groups, 4, 5);
        moe::orthogonality{}(b, w, d);
        CHECK(weights::worst_difference(w, d, [&] { return value(b, w); }) <= difference_tolerance);
    }
    moe::panels<double> axes(1, 2, 2), d(1, 2, 2);
    axes(0, 0, 0) = axes(0, 1, 1) = 2.0;
    moe::orthogonality{}(b, axes, d);
    for (const double v : d.span()) CHECK(v == 0.0);
}

TEST_CASE("the orthogonality loss survives one row and rows of zeros") {
    moe::reference b;
    CHECK(value(b, weights::random_panels<double>(2, 1, 5, 3)) == 0.0);
    moe::panels<double> w(1, 3, 2), d(1, 3, 2);
    w(0, 0, 0) = 1.0, w(0, 1, 0) = 1.0;
    CHECK(moe::orthogonality{}(b, w, d) == Approx(2.0 / 6));
    for (const double v : d.span()) CHECK(std::isfinite(v));
    CHECK_THROWS_AS(moe::orthogonality{}(b, w, *std::make_unique<moe::panels<double>>(1, 2, 2)), moe::shape_error);
}

TEST_CASE("the orthogonality loss has the same bits on every number of threads") {
    const auto w = weights::random_panels<float>(2, 300, 33, 1);
    moe::cpu one, three{{.threads = 3}};
    moe::panels<float> d1(2, 300, 33), d3(2, 300, 33);
    CHECK(moe::orthogonality{}(one, w, d1) == moe::orthogonality{}(three, w, d3));
    for (std::size_t i = 0; i < d1.span().size(); ++i) REQUIRE(d1.span()[i] == d3.span()[i]);
}
