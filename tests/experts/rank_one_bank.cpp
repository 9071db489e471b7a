#include "moe/experts/rank_one_bank.hpp"

#include "experts/around.hpp"
#include "moe/combine/projected_sum.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/latent_input.hpp"
#include "moe/experts/null_bank.hpp"

namespace {

const auto atoms = []<class T>(std::type_identity<T>) {
    return moe::rank_one_bank<T, moe::gelu>{{.features = 5, .experts = 9, .outputs = 4, .seed = 3}};
};
const auto latent = []<class T>(std::type_identity<T>) {
    return moe::latent_input{moe::swiglu_bank<T>{{.features = 3, .hidden = 4, .experts = 3, .bias = true}},
                             {.features = 5, .seed = 4}};
};
const auto latent_beside = []<class T>(std::type_identity<T> t) {
    return moe::banks{moe::null_bank<T>{{.features = 5, .experts = 1, .outputs = 3}}, latent(t)};
};
template <class T>
auto back() {
    return moe::projected_sum<T>{{.inputs = 3, .outputs = 6}};
}

}  // namespace

TEST_CASE("gradients of rank-one experts equal central differences") { check_bank_gradients(atoms, 4); }

TEMPLATE_LIST_TEST_CASE("rank-one experts keep the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(atoms, 5);
}

TEMPLATE_LIST_TEST_CASE("a rank-one expert is a feed-forward expert of width 1", "", every_backend) {
    using T = typename TestType::scalar;
    const auto bank = atoms(std::type_identity<T>{});
    moe::gelu_bank<T> wide{{.features = 5, .hidden = 1, .experts = 9, .outputs = 4}};
    for (moe::index_t e = 0; e < 9; ++e) {
        for (moe::index_t j = 0; j < 5; ++j) wide.up(e, 0, j) = bank.in(e, j);
        for (moe::index_t n = 0; n < 4; ++n) wide.down(e, n, 0) = bank.out(e, n);
    }
    const auto router = small_router<T>(5, 9, 6);
    const auto x = moe::testing::random_matrix<T>(4, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    CHECK(relative_error(moe::testing::infer(backend, moe::layer{router, bank}, in).view(),
                         moe::testing::infer(backend, moe::layer{router, wide}, in).view()) <= tolerance<T>::value);
}

TEST_CASE("gradients of latent experts equal central differences, in both projections too") {
    check_bank_gradients(latent);
    check_bank_gradients(latent, 2, back<double>());
    check_bank_gradients(latent_beside, 2, back<double>());
}

TEMPLATE_LIST_TEST_CASE("latent experts keep the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(latent, 2, back<typename TestType::scalar>());
    check_bank_laws<TestType>(latent_beside, 2, back<typename TestType::scalar>());
}

TEMPLATE_LIST_TEST_CASE("a masked token's NaN reaches no gradient of a latent projection", "", every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(latent, 2, back<T>());
    auto x = moe::testing::random_matrix<T>(4, 5, 8);
    x(1, 2) = std::numeric_limits<T>::quiet_NaN();
    const std::uint8_t mask[] = {1, 0, 1, 1};
    moe::batch<T> in;
    in.x = x;
    in.mask = mask;
    typename TestType::backend backend;
    const auto trained = moe::testing::train_once(backend, layer, in);
    for (const T g : std::get<1>(trained.gradient).projection.span()) CHECK(std::isfinite(g));
    for (const T g : std::get<1>(trained.gradient).bank.up.span()) CHECK(std::isfinite(g));
    for (const T v : trained.y.span()) CHECK(std::isfinite(v));
}

TEST_CASE("projections that do not fit are refused by name") {
    const auto bank = latent(std::type_identity<float>{});
    CHECK_THROWS_WITH(
        moe::layer(small_router<float>(5, 3), bank, moe::projected_sum<float>{{.inputs = 4, .outputs = 5}}),
        "moe: projected_sum: inputs: wanted 3 (outputs of the experts), got 4");
    CHECK_THROWS_WITH(moe::latent_input(bank, {.features = 0}), "moe: latent_input.features: wanted at least 1, got 0");
}
