#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

struct padded_batch {
    moe::matrix<float> x = moe::testing::random_matrix<float>(6, 5, 1);
    moe::matrix<float> features = moe::testing::random_matrix<float>(6, 5, 2);
    std::vector<std::uint8_t> mask{1, 0, 1, 1, 0, 1};

    moe::batch<float> seen_by(bool own_features) const {
        moe::batch<float> in;
        in.x = x;
        if (own_features) in.features = features;
        in.mask = mask;
        in.training = true;
        return in;
    }
};

template <class B, class... Parts>
void check_ignored(const Parts&... parts) {
    B b;
    const padded_batch given;
    const moe::layer layer{parts...};
    CHECK(moe::testing::ignores_masked_tokens(b, layer, given.seen_by(false)) == "");
    CHECK(moe::testing::ignores_masked_tokens(b, layer, given.seen_by(true)) == "");
}

moe::linear_gate<float> gate() { return {{.features = 5, .experts = 4, .bias = true}}; }
moe::swiglu_bank<float> bank() { return {{.features = 5, .hidden = 3, .experts = 4, .bias = true}}; }

template <class B, class... Steps>
void check_router(const Steps&... steps) {
    check_ignored<B>(moe::router{steps...}, bank());
}

}  // namespace

TEMPLATE_TEST_CASE("a masked token's NaN reaches no gradient of any gate", "", moe::reference, moe::cpu) {
    using moe::softmax;
    using moe::top_k;
    check_router<TestType>(gate(), softmax{}, top_k{.k = 2});
    check_router<TestType>(moe::linear_gate<float, moe::gate_math::upcast>{{.features = 5, .experts = 4}}, softmax{},
                           top_k{.k = 2});
    check_router<TestType>(moe::mlp_gate<float>{{.features = 5, .hidden = 3, .experts = 4}}, softmax{}, top_k{.k = 2});
    check_router<TestType>(moe::cosine_gate<float>{{.features = 5, .experts = 4, .projection = 3}}, softmax{},
                           top_k{.k = 2});
    check_router<TestType>(moe::product_keys_gate<float>{{.features = 5, .experts = 4, .query = 4}},
                           moe::product_keys{.k = 2}, moe::softmax_selected{});
    check_router<TestType>(moe::features_through{moe::rms_normalize<float>{{.columns = 5}}, gate()}, softmax{},
                           top_k{.k = 2});
}

TEMPLATE_TEST_CASE("a masked token's NaN reaches no gradient of steps with parameters", "", moe::reference, moe::cpu) {
    check_router<TestType>(gate(), moe::learned_noise<float>{{.features = 5, .experts = 4}},
                           moe::rms_normalize<float>{{.columns = 4}}, moe::top_k{.k = 2}, moe::softmax_selected{});
    check_router<TestType>(gate(), moe::learned_scale<float>{{}}, moe::logit_bias<float>{4}, moe::sparsemixer{});
    check_router<TestType>(gate(), moe::softmax{}, moe::expert_choice{}, moe::renormalize{}, moe::per_expert_scale<float>{4});
}

TEMPLATE_TEST_CASE("a masked token's NaN reaches no gradient of shared experts", "", moe::reference, moe::cpu) {
    const moe::router router{gate(), moe::softmax{}, moe::top_k{.k = 2}};
    check_ignored<TestType>(router, bank(), moe::shared{bank()});
    check_ignored<TestType>(router, bank(), moe::gated_shared{bank()});
    check_ignored<TestType>(router, bank(), moe::averaged_shared{bank()});
    check_ignored<TestType>(router, bank(), moe::coefficient_shared{bank()});
}

TEMPLATE_TEST_CASE("steps that mix tokens read zeros for masked ones", "", moe::reference, moe::cpu) {
    TestType b;
    const moe::layer layer{moe::router{gate(), moe::softmax{}, moe::token_mix<>{}, moe::top_k{.k = 2}}, bank()};
    const padded_batch given;
    moe::matrix<float> even(6, 6);
    std::fill(even.span().begin(), even.span().end(), 0.25f);
    moe::batch<float> in = given.seen_by(false);
    in.side = even;
    CHECK(moe::testing::ignores_masked_tokens(b, layer, in) == "");
    moe::arena memory;
    const auto s = layer.route(b, in, memory);
    float sum = 0;
    for (moe::index_t e = 0; e < 4; ++e) sum += s.scores(0, e);
    CHECK(sum == Approx(1.0));  // four live tokens with a share of 1/4 each
    CHECK(s.scores(1, 0) == 0.0f);
}
