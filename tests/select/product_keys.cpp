#include "moe/select/product_keys.hpp"

#include "score/step_support.hpp"

namespace {

template <class On, class... Steps>
auto best_pairs(std::initializer_list<std::initializer_list<double>> logits, moe::index_t k, Steps... steps) {
    using T = typename On::scalar;
    const auto x = rows_of<T>(logits);
    moe::batch<T> in;
    in.x = x;
    return route<typename On::backend>(moe::router{copy_gate<T>{x.cols()}, steps..., moe::product_keys{.k = k}}, in);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("product_keys chooses the best pairs of the two halves", "", every_backend) {
    using T = typename TestType::scalar;
    // Pairs of expert 3 i + j: 1+10, 1+20, 1+0; 5+10, 5+20, 5+0; 2+10, 2+20, 2+0.
    const auto r = best_pairs<TestType>({{1, 5, 2, 10, 20, 0}}, 4);
    CHECK(r.expert == std::vector<moe::index_t>{4, 7, 1, 3});
    CHECK(r.weight == std::vector<T>{25, 22, 21, 15});
}

TEMPLATE_LIST_TEST_CASE("product_keys agrees with all pairs tried one by one", "", every_backend) {
    using T = typename TestType::scalar;
    constexpr moe::index_t n = 7;
    const auto x = moe::testing::random_matrix<T>(30, 2 * n, 71);
    moe::batch<T> in;
    in.x = x;
    for (const moe::index_t k : {1, 5, 12, 49}) {
        const auto r =
            route<typename TestType::backend>(moe::router{copy_gate<T>{2 * n}, moe::product_keys{.k = k}}, in);
        for (moe::index_t t = 0; t < 30; ++t) {
            std::vector<T> sum(n * n);
            for (moe::index_t e = 0; e < n * n; ++e) sum[std::size_t(e)] = x(t, e / n) + x(t, n + e % n);
            std::vector<moe::index_t> wanted(static_cast<std::size_t>(k));
            moe::best_of_row(sum.data(), n * n, wanted.data(), k);
            const auto first = r.expert.begin() + t * k;
            CHECK(std::vector<moe::index_t>(first, first + k) == wanted);
        }
    }
}

TEMPLATE_LIST_TEST_CASE("product_keys orders ties by expert, excludes -inf and keeps ids distinct under NaN", "",
                        every_backend) {
    CHECK(best_pairs<TestType>({{0, 0, 0, 0}}, 4).expert == std::vector<moe::index_t>{0, 1, 2, 3});
    CHECK(best_pairs<TestType>({{-infinity, 0, 1, 2}}, 4).expert == std::vector<moe::index_t>{3, 2, -1, -1});
    CHECK(best_pairs<TestType>({{not_a_number, 0, 1, 2}}, 4).expert == std::vector<moe::index_t>{3, 2, 0, 1});
    CHECK(best_pairs<TestType>({{not_a_number, not_a_number, not_a_number, not_a_number}}, 4).expert ==
          std::vector<moe::index_t>{0, 1, 2, 3});
}

TEMPLATE_LIST_TEST_CASE("product_keys weighs by scores and chooses by keys", "", every_backend) {
    using T = typename TestType::scalar;
    moe::selection_bias bias(4);
    bias.bias[0] = 100;
    const auto r = best_pairs<TestType>({{1, 5, 3, 4}}, 1, bias);
    CHECK(r.expert == std::vector<moe::index_t>{1});
    CHECK(r.weight == std::vector<T>{5});
}

TEST_CASE("the gradients of product keys equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 72);
    const auto features = moe::testing::random_matrix<double>(6, 6, 73);
    moe::batch<double> in;
    in.x = x;
    in.features = features;
    const moe::swiglu_bank<double> bank{{.features = 5, .hidden = 2, .experts = 16, .seed = 4}};
    SECTION("halves of the features") {
        const moe::product_keys_gate<double> gate{{.features = 6, .experts = 16}};
        check_derivatives(moe::layer{moe::router{gate, moe::product_keys{.k = 4}}, bank}, in);
    }
    SECTION("halves of a query") {
        const moe::product_keys_gate<double> gate{{.features = 6, .experts = 16, .query = 4}};
        check_derivatives(moe::layer{moe::router{gate, moe::product_keys{.k = 4}, moe::softmax_selected{}}, bank}, in);
    }
}

TEMPLATE_LIST_TEST_CASE("a layer with product keys keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 74);
    moe::batch<T> in;
    in.x = x;
    const moe::product_keys_gate<T> gate{{.features = 5, .experts = 16, .query = 4}};
    check_laws<typename TestType::backend>(
        moe::layer{moe::router{gate, moe::product_keys{.k = 4}, moe::softmax_selected{}},
                   moe::swiglu_bank<T>{{.features = 5, .hidden = 2, .experts = 16, .seed = 4}}},
        in);
}

TEST_CASE("product_keys refuses k out of range and an odd number of columns") {
    const auto build = [](moe::index_t columns, moe::index_t k) {
        moe::router{copy_gate<float>{columns}, moe::product_keys{.k = k}};
    };
    CHECK(thrown<moe::value_error>([&] { build(6, 0); }) == "moe: product_keys.k: wanted at least 1, got 0");
    CHECK(thrown<moe::value_error>([&] { build(6, 10); }) ==
          "moe: product_keys routes per token (k): wanted at most 9 (experts that can be chosen), got 10");
    CHECK(thrown<moe::shape_error>([&] { build(5, 1); }) ==
          "moe: product_keys: columns of the gate: wanted an even number up to 92680, got 5");
    CHECK(thrown<moe::error>([&] { build(6, 9); }) == "");
}
