// tests/golden: other kinds of experts and of combining: weight on the input, identity, latent, rank one, output bias
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::index;

std::vector<golden::binding> biased() { return golden::with(golden::shared, {{"router.2.bias", "selection_bias"}}); }

template <class T>
auto nemotron_router(const golden::file& g) {
    return moe::router{golden::gate_of<T>(g),
                       moe::sigmoid{},
                       moe::selection_bias{index(g, "experts")},
                       moe::top_k{.k = index(g, "k")},
                       moe::renormalize{.epsilon = 1e-20},
                       moe::scale{.factor = g.number("scale")}};
}

template <class T>
auto squared_shared(const golden::file& g) {
    return moe::shared{moe::ffn_bank<T, moe::relu_squared>{golden::shared_bank_of(g)}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the sigmoid of the selected logits on the experts' input is Llama 4", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "llama4");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::top_k{.k = index(g, "k")}, moe::sigmoid_selected{}},
                     moe::weigh_input{moe::swiglu_bank<T>{golden::bank_of(g)}}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, golden::shared);
}

TEMPLATE_LIST_TEST_CASE("identity experts behind the others, under one softmax and one bias, are LongCat-Flash",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "longcat_flash");
    const moe::index_t identities = index(g, "identity_experts");
    moe::bank_options real = golden::bank_of(g);
    real.experts -= identities;
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}, moe::scale{.factor = g.number("scale")}},
                     moe::banks{moe::swiglu_bank<T>{real},
                                moe::identity_bank<T>{{.features = index(g, "features"), .experts = identities}}}};
    golden::compare<typename TestType::backend>(layer, g,
                                                {{"router.0.weight", "gate"},
                                                 {"router.2.bias", "selection_bias"},
                                                 {"experts.0.gate", "w_gate"},
                                                 {"experts.0.up", "w_up"},
                                                 {"experts.0.down", "w_down"}});
}

TEMPLATE_LIST_TEST_CASE("plain experts with squared ReLU, routed and shared, are Nemotron-H", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "nemotron_h");
    moe::layer layer{nemotron_router<T>(g), moe::ffn_bank<T, moe::relu_squared>{golden::bank_of(g)},
                     squared_shared<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, biased());
}

TEMPLATE_LIST_TEST_CASE("experts between two low-rank projections are Nemotron-H's latent experts", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "nemotron_h_latent");
    moe::bank_options narrow = golden::bank_of(g);
    narrow.features = index(g, "latent");
    moe::layer layer{nemotron_router<T>(g),
                     moe::latent_input{moe::ffn_bank<T, moe::relu_squared>{narrow}, {.features = index(g, "features")}},
                     squared_shared<T>(g),
                     moe::projected_sum<T>{{.inputs = narrow.features, .outputs = index(g, "features")}}};
    golden::compare<typename TestType::backend>(layer, g,
                                                golden::with(biased(), {{"experts.projection", "latent_in"},
                                                                      {"experts.bank.up", "w_up"},
                                                                      {"experts.bank.down", "w_down"},
                                                                      {"combine.projection", "latent_out"}}));
}

TEMPLATE_LIST_TEST_CASE("pairs of keys, softmax over the selected and rank-one experts beside a dense one are Doge",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "doge");
    moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = index(g, "features"), .experts = index(g["gate"].rows())}},
                    moe::product_keys{.k = index(g, "k")}, moe::softmax_selected{}},
        moe::rank_one_bank<T, moe::silu>{{.features = index(g, "features"), .experts = index(g, "experts")}},
        golden::shared_of<T>(g)};
    const auto bindings = golden::with(golden::shared, {{"experts.in", "w_up"}, {"experts.out", "w_down"}});
    golden::compare<typename TestType::backend>(layer, g, bindings);
}

TEMPLATE_LIST_TEST_CASE("softmax over the selected and one bias behind the sum are JetMoE", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "jetmoe");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::top_k{.k = index(g, "k")}, moe::softmax_selected{}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, moe::biased_sum<T>{{.outputs = index(g, "features")}}};
    golden::compare<typename TestType::backend>(layer, g,
                                                golden::with(golden::gated, {{"combine.bias", "output_bias"}}));
}
