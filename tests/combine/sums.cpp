// The combines beside the weighted sum: row_sum, scaled_sum, biased_sum, projected_sum, concat.
#include "experts/around.hpp"
#include "moe/combine/biased_sum.hpp"
#include "moe/combine/concat.hpp"
#include "moe/combine/projected_sum.hpp"
#include "moe/combine/row_sum.hpp"
#include "moe/combine/scaled_sum.hpp"
#include "moe/experts/constant_bank.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/weigh_input.hpp"

namespace {

const auto bank = []<class T>(std::type_identity<T>) {
    return moe::gelu_bank<T>{{.features = 5, .hidden = 4, .experts = 3, .bias = true, .outputs = 2}};
};

// Constant experts and the weights a router gives: y by hand.
template <class On, class Combine>
struct constants {
    using T = typename On::scalar;
    moe::layer<decltype(small_router<T>(3, 3)), moe::constant_bank<T>, Combine> layer;
    typename On::backend backend;
    moe::arena memory;
    moe::matrix<T> x = moe::testing::random_matrix<T>(3, 3, 8);
    sent<T> all{2, {2, 0, 1, -1, -1, -1}};
    moe::batch<T> in = all.batch(x);

    explicit constants(Combine combine)
        : layer(small_router<T>(3, 3), moe::constant_bank<T>{{.features = 3, .experts = 3, .outputs = 2}}, combine) {
        randomise(layer);
    }
    T value(moe::index_t e, moe::index_t j) const { return layer.experts().value(e, j); }
    T weight(std::size_t slot) { return layer.route(backend, in, memory).routes.weight[slot]; }
    moe::matrix<T> y() { return moe::testing::infer(backend, layer, in); }
};

}  // namespace

TEST_CASE("gradients of every combine equal central differences") {
    check_bank_gradients(bank, 2, moe::row_sum{});
    check_bank_gradients(bank, 2, moe::scaled_sum{.factor = -2.5});
    check_bank_gradients(bank, 2, moe::biased_sum<double>{{.outputs = 2}});
    check_bank_gradients(bank, 2, moe::projected_sum<double>{{.inputs = 2, .outputs = 7}});
    check_bank_gradients(bank, 2, moe::concat{.k = 2});
    check_bank_gradients(bank, 2, moe::concat{.k = 3, .weighted = false});
}

TEMPLATE_LIST_TEST_CASE("every combine keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    check_bank_laws<TestType>(bank, 2, moe::row_sum{});
    check_bank_laws<TestType>(bank, 2, moe::scaled_sum{.factor = 3.0});
    check_bank_laws<TestType>(bank, 2, moe::biased_sum<T>{{.outputs = 2}});
    check_bank_laws<TestType>(bank, 2, moe::projected_sum<T>{{.inputs = 2, .outputs = 7}});
    check_bank_laws<TestType>(bank, 2, moe::concat{.k = 2});
}

TEMPLATE_LIST_TEST_CASE("the row sum adds rows as they are, the scaled sum multiplies once", "", every_backend) {
    constants<TestType, moe::row_sum> plain{moe::row_sum{}};
    const auto y = plain.y();
    for (moe::index_t j = 0; j < 2; ++j) {
        CHECK(y(0, j) == plain.value(0, j) + plain.value(2, j));
        CHECK(y(1, j) == plain.value(1, j));
        CHECK(y(2, j) == 0);
    }
    constants<TestType, moe::scaled_sum> once{moe::scaled_sum{.factor = 1.0}};
    constants<TestType, moe::scaled_sum> four{moe::scaled_sum{.factor = 4.0}};
    const auto a = once.y();
    const auto b = four.y();
    for (moe::index_t t = 0; t < 3; ++t) {
        for (moe::index_t j = 0; j < 2; ++j) CHECK(b(t, j) == 4 * a(t, j));
    }
}

TEMPLATE_LIST_TEST_CASE("concat puts weighted rows side by side in slot order, dead slots are zeros", "",
                        every_backend) {
    constants<TestType, moe::concat> c{moe::concat{.k = 2}};
    const auto y = c.y();
    REQUIRE(y.cols() == 4);
    for (moe::index_t j = 0; j < 2; ++j) {
        CHECK(y(0, j) == c.weight(0) * c.value(2, j));
        CHECK(y(0, 2 + j) == c.weight(1) * c.value(0, j));
        CHECK(y(1, j) == c.weight(2) * c.value(1, j));
        CHECK(y(1, 2 + j) == 0);
        CHECK(y(2, j) == 0);
        CHECK(y(2, 2 + j) == 0);
    }
}

TEMPLATE_LIST_TEST_CASE("a token without routes gets the bias of a biased sum, and zeros from a projected sum", "",
                        every_backend) {
    using T = typename TestType::scalar;
    constants<TestType, moe::biased_sum<T>> biased{moe::biased_sum<T>{{.outputs = 2}}};
    const auto y = biased.y();
    const auto& bias = biased.layer.template part<2>().bias;
    for (moe::index_t j = 0; j < 2; ++j) {
        CHECK(y(2, j) == bias(0, j));
        CHECK(y(1, j) == Approx(biased.weight(2) * biased.value(1, j) + bias(0, j)).epsilon(1e-6));
    }
    constants<TestType, moe::projected_sum<T>> projected{moe::projected_sum<T>{{.inputs = 2, .outputs = 3}}};
    const auto z = projected.y();
    const auto& q = projected.layer.template part<2>().projection;
    for (moe::index_t n = 0; n < 3; ++n) {
        CHECK(z(2, n) == 0);
        const T sum = projected.weight(2) * (q(0, n, 0) * projected.value(1, 0) + q(0, n, 1) * projected.value(1, 1));
        CHECK(z(1, n) == Approx(sum).epsilon(1e-5));
    }
}

TEST_CASE("combines that do not fit are refused by name") {
    const auto router = small_router<float>(5, 3);
    const auto experts = bank(std::type_identity<float>{});
    CHECK_THROWS_WITH(moe::layer(router, experts, moe::concat{}), "moe: concat.k: wanted at least 1, got 0");
    CHECK_THROWS_WITH(moe::layer(router, experts, moe::biased_sum<float>{{.outputs = 3}}),
                      "moe: biased_sum: outputs: wanted 2 (outputs of the experts), got 3");
    CHECK_THROWS_WITH(moe::layer(router, experts, moe::scaled_sum{.factor = std::nan("")}),
                      Catch::Matchers::StartsWith("moe: scaled_sum.factor: wanted a finite number, got"));
    const moe::layer narrow{router, experts, moe::concat{.k = 1}};
    const auto x = moe::testing::random_matrix<float>(2, 5, 8);
    moe::matrix<float> y(2, 2);
    for (float& v : y.span()) v = 5.0f;
    moe::reference backend;
    CHECK_THROWS_WITH(narrow(backend, x, y), "moe: concat.k: wanted at least 2 (slots of a token), got 1");
    for (const float v : y.span()) CHECK(v == 5.0f);
}
