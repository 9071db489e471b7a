// Routers and layers keep the laws, on every backend.
#include "testing/every.hpp"

namespace {

const moe::swiglu_bank<double> gated_bank{{.features = 3, .hidden = 2, .experts = 3, .bias = true}};

auto small_router() {
    return moe::router{moe::linear_gate<double>{{.features = 3, .experts = 3, .seed = 5}}, moe::softmax{},
                       moe::top_k{.k = 2}, moe::renormalize{}};
}

}  // namespace

TEST_CASE("routers keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4, .seed = 5}};
    moe::cpu one, two{{.threads = 2}};
    CHECK(laws(small_router(), {}, one, two) == no_violations);
    moe::selection_bias bias{4};
    bias.bias[2] = 0.5f;
    CHECK(laws(moe::router{gate, moe::sigmoid{}, bias, moe::group_limit{.groups = 2}, moe::top_k{.k = 1},
                           moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::gumbel_noise{}, moe::top_k{.k = 2}, moe::softmax_selected{}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::softmax{}, moe::expert_choice{}}) == no_violations);
    CHECK(laws(moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}, moe::capacity{{.factor = 0.5}}}) == no_violations);
    CHECK(laws(moe::router{learned(moe::product_keys_gate<double>{{.features = 4, .experts = 9}}),
                           moe::product_keys{.k = 2}}) == no_violations);
}

TEST_CASE("layers keep the laws") {
    moe::cpu one, two{{.threads = 2}};
    const moe::layer layer{small_router(), gated_bank, moe::shared{gated_bank}};
    CHECK(laws(layer, {}, one, two) == no_violations);
    CHECK(laws(moe::residual{layer}) == no_violations);
    CHECK(laws(moe::iterated{moe::layer{small_router(), gated_bank}, {small_router()}}) == no_violations);
    CHECK(laws(moe::layer{moe::router{moe::linear_gate<double>{{.features = 3, .experts = 3}}, moe::softmax{},
                                      moe::top_k{.k = 2}, moe::capacity{{.factor = 0.5}}},
                          gated_bank}) == no_violations);
}
