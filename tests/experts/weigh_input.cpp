#include "moe/experts/weigh_input.hpp"

#include "experts/around.hpp"
#include "moe/combine/row_sum.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/experts/weigh_hidden.hpp"

namespace {

template <class Activation>
auto bank(bool bias) {
    return [=]<class T>(std::type_identity<T>) {
        return moe::ffn_bank<T, Activation>{{.features = 5, .hidden = 4, .experts = 3, .bias = bias}};
    };
}
const auto on_input = []<class T>(std::type_identity<T> t) {
    return moe::weigh_input{bank<moe::gated<moe::silu>>(true)(t)};
};
const auto on_hidden = []<class T>(std::type_identity<T> t) {
    return moe::weigh_hidden{bank<moe::gated<moe::silu>>(true)(t)};
};
const auto side_by_side = []<class T>(std::type_identity<T> t) {
    return moe::banks{moe::weigh_hidden{bank<moe::gelu>(true)(t)},
                      moe::weigh_input{moe::identity_bank<T>{{.features = 5, .experts = 1}}},
                      moe::weigh_input{bank<moe::silu>(false)(t)}};
};

}  // namespace

TEST_CASE("weights on the input or on the hidden values get gradients that equal central differences") {
    check_bank_gradients(on_input);
    check_bank_gradients(on_hidden);
    check_bank_gradients(side_by_side, 4);
}

TEMPLATE_LIST_TEST_CASE("weights on the input or on the hidden values keep the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(on_input);
    check_bank_laws<TestType>(on_hidden);
    check_bank_laws<TestType>(side_by_side, 3);
}

TEMPLATE_LIST_TEST_CASE("a bank sees its rows of x times the weight, and the rows are summed as they are", "",
                        every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(on_input, 1);
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    typename TestType::backend backend;
    moe::batch<T> in;
    in.x = x;
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    // The same tokens, weighted by hand, through the bank alone.
    moe::matrix<T> weighted(4, 5);
    for (moe::index_t t = 0; t < 4; ++t) {
        for (moe::index_t j = 0; j < 5; ++j) weighted(t, j) = s.routes.weight[std::size_t(t)] * x(t, j);
    }
    const std::vector<moe::index_t> chosen(s.routes.expert.begin(), s.routes.expert.end());
    const moe::layer alone{layer.router(), layer.experts().bank, moe::row_sum{}};
    const sent<T> same(1, chosen);
    CHECK(relative_error(moe::testing::infer(backend, alone, same.batch(weighted)).view(), y.view()) <=
          tolerance<T>::value);
}

TEMPLATE_LIST_TEST_CASE("without a bias of the second product, weighting hidden values equals weighting outputs", "",
                        every_backend) {
    using T = typename TestType::scalar;
    const std::type_identity<T> t;
    const auto router = small_router<T>(5, 3);
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    const auto run = [&](const auto& experts) { return moe::testing::infer(backend, moe::layer{router, experts}, in); };
    const auto plain = bank<moe::gelu>(false)(t);
    CHECK(relative_error(run(moe::weigh_hidden{plain}).view(), run(plain).view()) <= tolerance<T>::value);
    auto biased = bank<moe::gelu>(true)(t);
    fill_random(biased.down_bias, 3, 1.0);
    CHECK(relative_error(run(moe::weigh_hidden{biased}).view(), run(biased).view()) > 0.01);
    // Two routes of weights w and 1 - w: the bias counts twice instead of once.
}

TEST_CASE("a layer sums weighted experts plainly by itself") {
    const auto experts = on_input(std::type_identity<double>{});
    const auto router = small_router<double>(5, 3);
    const auto x = moe::testing::random_matrix<double>(4, 5, 8);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    CHECK(moe::testing::same_bits(moe::testing::infer(backend, moe::layer{router, experts}, in),
                                  moe::testing::infer(backend, moe::layer{router, experts, moe::row_sum{}}, in)));
}
