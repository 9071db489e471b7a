// tests/golden: routers that no preset has: soft cap, groups with fill 0, weights joint with shared experts
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::index;

moe::group_limit limit_of(const golden::file& g) {
    return {.groups = index(g, "groups"), .keep = index(g, "keep"), .best = index(g, "best"), .fill = 0.0};
}

std::vector<golden::binding> biased() { return golden::with(golden::shared, {{"router.2.bias", "selection_bias"}}); }

}  // namespace

TEMPLATE_LIST_TEST_CASE("sigmoid, selection bias, a group limit with fill 0, renormalise, scale and shared are AXK2",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "axk2");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                                 limit_of(g), moe::top_k{.k = index(g, "k")}, moe::renormalize{.epsilon = 1e-20},
                                 moe::scale{.factor = g.number("scale")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, biased());
}

TEMPLATE_LIST_TEST_CASE("sigmoid, selection bias, renormalise, scale and a shared expert are HY-V3", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "hy_v3");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}, moe::renormalize{.epsilon = 1e-20},
                                 moe::scale{.factor = g.number("scale")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, biased());
}

TEMPLATE_LIST_TEST_CASE("softmax, groups by their best two with fill 0, renormalise, scale and shared are Mistral 4",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "mistral4");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, limit_of(g), moe::top_k{.k = index(g, "k")},
                                 moe::renormalize{.epsilon = 1e-20}, moe::scale{.factor = g.number("scale")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, golden::shared);
}

TEMPLATE_LIST_TEST_CASE("soft-capped logits, sigmoid, selection bias and a scaled routed sum are Laguna", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "laguna");
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::soft_cap{.cap = g.number("soft_cap")}, moe::sigmoid{},
                    moe::selection_bias{index(g, "experts")}, moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
        moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g), moe::scaled_sum{.factor = g.number("scale")}};
    golden::extras<T> with;
    with.logits = nullptr;
    with.left_out = {"d_capped_logits"};
    golden::compare<typename TestType::backend>(
        layer, g, golden::with(golden::shared, {{"router.3.bias", "selection_bias"}}), with);
}

TEMPLATE_LIST_TEST_CASE("sigmoid weights normalised over selected and shared experts alike are Inkling", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    golden::file g(golden::data, "inkling");
    moe::bank_options routed = golden::bank_of(g), common = golden::shared_bank_of(g);
    common.experts = index(g["shared_w_up"].rows());
    const moe::index_t experts = routed.experts + common.experts;
    // In the layer the shared experts are the last of the bank, each in a slot of its own behind the selected.
    golden::tensor always = g["shared_weight"], expert = g["expert"], weight = g["weight"], bias = g["selection_bias"];
    expert.values.clear();
    weight.values.clear();
    for (std::size_t t = 0; t < always.rows(); ++t) {
        for (std::size_t i = 0; i < g["expert"].columns(); ++i) {
            expert.values.push_back(g["expert"].values[t * g["expert"].columns() + i]);
            weight.values.push_back(g["weight"].values[t * g["weight"].columns() + i]);
        }
        for (moe::index_t e = routed.experts; e < experts; ++e) {
            expert.values.push_back(e);
            weight.values.push_back(always.values[t * always.columns() + static_cast<std::size_t>(e - routed.experts)]);
        }
    }
    bias.values.resize(static_cast<std::size_t>(experts), 0.0);
    g.put("expert", expert);
    g.put("weight", weight);
    g.put("selection_bias", bias);
    moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = routed.features, .experts = experts}}, moe::sigmoid{},
                    moe::selection_bias{experts},
                    moe::always_on{moe::top_k{.k = index(g, "k")},
                                   {.experts = {routed.experts, routed.experts + 1}, .hidden = true}},
                    moe::renormalize{}, moe::scale{.factor = g.number("scale")}, moe::learned_weight_scale<T>{}},
        moe::banks{moe::swiglu_bank<T>{routed}, moe::swiglu_bank<T>{common}}};
    golden::extras<T> with;
    with.logits = nullptr;
    with.left_out = {"d_logits"};
    golden::compare<typename TestType::backend>(layer, g,
                                                {{"router.0.weight", "gate"},
                                                 {"router.2.bias", "selection_bias"},
                                                 {"router.6.scale", "global_scale"},
                                                 {"experts.0.gate", "w_gate"},
                                                 {"experts.0.up", "w_up"},
                                                 {"experts.0.down", "w_down"},
                                                 {"experts.1.gate", "shared_w_gate"},
                                                 {"experts.1.up", "shared_w_up"},
                                                 {"experts.1.down", "shared_w_down"}},
                                                with);
}
