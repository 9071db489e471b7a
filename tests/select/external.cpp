#include "moe/select/external.hpp"

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/layer_laws.hpp"
#include "select/hand.hpp"

namespace {

template <class T, class Selector>
auto layer_with(const Selector& selector) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 3, .experts = 4, .seed = 2}}, selector},
                      moe::swiglu_bank<T>{{.features = 3, .hidden = 4, .experts = 4}}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an external choice is what any selector does with it", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    const auto x = moe::testing::random_matrix<T>(3, 3, 1);
    const ids offset = {0, 2, 2, 5};
    const ids expert = {3, 1, 0, -1, 2};
    const std::uint8_t mask[3] = {1, 1, 0};
    moe::batch<T> in;
    in.x = x;
    in.replay_offset = offset;
    in.replay_expert = expert;
    const auto own = layer_with<T>(moe::external{});
    CHECK(moe::testing::taped_equals_inference(backend, own, in) == "");
    CHECK(moe::testing::same_bits(moe::testing::infer(backend, own, in),
                                  moe::testing::infer(backend, layer_with<T>(moe::top_k{.k = 2}), in)));
    in.mask = mask;
    const auto y = moe::testing::infer(backend, own, in);
    CHECK(y(0, 0) != T(0));
    for (moe::index_t t = 1; t < 3; ++t) CHECK(y(t, 0) == T(0));
}

TEST_CASE("external refuses a batch without a choice") {
    moe::reference backend;
    const auto layer = layer_with<float>(moe::external{});
    const auto x = moe::testing::random_matrix<float>(3, 3, 1);
    CHECK_THROWS_WITH(layer(backend, x), "moe: external: wanted batch.replay_offset [T+1] and batch.replay_expert, got a "
                                         "batch without them");
}
