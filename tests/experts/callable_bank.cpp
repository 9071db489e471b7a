#include "moe/experts/callable_bank.hpp"

#include "experts/around.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"

namespace {

// row = slope[expert] * (sum of x)^2 in both outputs; a learned slope per expert.
template <class T>
struct squared_sum {
    std::vector<T> slope = {T(1), T(-2), T(3)};

    void operator()(moe::index_t e, moe::matrix_view<const T> x, moe::matrix_view<T> y) const {
        for (moe::index_t r = 0; r < x.rows; ++r) {
            const T sum = total(x[r]);
            for (T& out : y[r]) out = slope[std::size_t(e)] * sum * sum;
        }
    }
    void backward(moe::index_t e, moe::matrix_view<const T> x, moe::matrix_view<const T> dy, moe::matrix_view<T> dx,
                  squared_sum& g) const {
        for (moe::index_t r = 0; r < x.rows; ++r) {
            const T sum = total(x[r]);
            for (T& d : dx[r]) d = T(2) * slope[std::size_t(e)] * sum * total(dy[r]);
            g.slope[std::size_t(e)] += sum * sum * total(dy[r]);
        }
    }
    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("slope", p.slope...);
    }

private:
    static T total(std::span<const T> row) {
        T sum = T(0);
        for (const T v : row) sum += v;
        return sum;
    }
};

// No parameters: only dx.
template <class T>
struct doubled {
    void operator()(moe::index_t, moe::matrix_view<const T> x, moe::matrix_view<T> y) const {
        for (moe::index_t r = 0; r < x.rows; ++r) {
            for (moe::index_t j = 0; j < y.cols; ++j) y(r, j) = T(2) * x(r, j);
        }
    }
    void backward(moe::index_t, moe::matrix_view<const T>, moe::matrix_view<const T> dy, moe::matrix_view<T> dx) const {
        for (moe::index_t r = 0; r < dx.rows; ++r) {
            for (moe::index_t j = 0; j < dx.cols; ++j) dx(r, j) = j < dy.cols ? T(2) * dy(r, j) : T(0);
        }
    }
};

const auto learned = []<class T>(std::type_identity<T>) {
    return moe::callable_bank<T, squared_sum<T>>{{.features = 5, .outputs = 2, .experts = 3}, squared_sum<T>{}};
};
const auto mixed = []<class T>(std::type_identity<T> t) {
    return moe::banks{moe::ffn_bank<T, moe::gelu>{{.features = 5, .hidden = 3, .experts = 2, .outputs = 2}}, learned(t),
                      moe::callable_bank<T, doubled<T>>{{.features = 5, .outputs = 2, .experts = 1}, doubled<T>{}}};
};

}  // namespace

TEST_CASE("a callable's gradients reach x, the router and its own parameters") {
    check_bank_gradients(learned);
    check_bank_gradients(mixed, 4);
}

TEMPLATE_LIST_TEST_CASE("a callable bank keeps the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(learned);
    check_bank_laws<TestType>(mixed, 3);
}

TEST_CASE("a callable is called once per expert with rows, in ascending order, with rows in token order") {
    std::vector<moe::index_t> calls, sizes;
    std::vector<float> first;
    const auto record = [&](moe::index_t e, moe::matrix_view<const float> x, moe::matrix_view<float> y) {
        calls.push_back(e);
        sizes.push_back(x.rows);
        for (moe::index_t r = 0; r < x.rows; ++r) {
            first.push_back(x(r, 0));
            std::fill(y[r].begin(), y[r].end(), 1.0f);
        }
    };
    const moe::layer layer{small_router<float>(1, 4),
                           moe::callable_bank<float, decltype(record)>{{.features = 1, .experts = 4}, record}};
    moe::matrix<float> x(3, 1);
    for (moe::index_t t = 0; t < 3; ++t) x(t, 0) = float(10 + t);
    const sent<float> all(2, {3, 0, 3, -1, 2, 3});
    moe::reference backend;
    const auto y = moe::testing::infer(backend, layer, all.batch(x));
    CHECK(calls == std::vector<moe::index_t>{0, 2, 3});
    CHECK(sizes == std::vector<moe::index_t>{1, 1, 3});
    CHECK(first == std::vector<float>{10, 12, 10, 11, 12});
}

TEST_CASE("what a callable throws leaves the layer usable") {
    bool fail = true;
    const auto moody = [&fail](moe::index_t, moe::matrix_view<const float> x, moe::matrix_view<float> y) {
        if (fail) throw std::runtime_error("no");
        for (moe::index_t r = 0; r < x.rows; ++r) y(r, 0) = x(r, 0);
    };
    const moe::layer layer{small_router<float>(1, 2, 2),
                           moe::callable_bank<float, decltype(moody)>{{.features = 1, .experts = 2}, moody}};
    moe::matrix<float> x(1, 1), y(1, 1);
    x(0, 0) = 3;
    moe::cpu backend;
    CHECK_THROWS_WITH(layer(backend, x, y), "no");
    fail = false;
    layer(backend, x, y);
    CHECK(y(0, 0) == Approx(3.0f));
}

TEST_CASE("a callable bank refuses sizes by name") {
    using bank = moe::callable_bank<float, doubled<float>>;
    CHECK_THROWS_WITH(bank({.features = 0, .experts = 1}, {}), "moe: callable_bank.features: wanted at least 1, got 0");
    CHECK_THROWS_WITH(bank({.features = 1, .experts = -1}, {}),
                      "moe: callable_bank.experts: wanted at least 1, got -1");
}
