// tests/golden: routers with steps of their own: norms, caps, scales, masks by label, capacity, sparsemixer
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::index;

/// [2,E]: label 0 may use the first half of the experts, label 1 the second.
moe::matrix<std::uint8_t> halves(moe::index_t experts) {
    moe::matrix<std::uint8_t> allowed(2, experts);
    for (moe::index_t e = 0; e < experts; ++e) allowed(e < experts / 2 ? 0 : 1, e) = 1;
    return allowed;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("softmax, selection bias, a bounded sum and shared experts are ERNIE 4.5", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "ernie4_5_moe");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}, moe::renormalize{.least = 1e-12}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g,
                                                golden::with(golden::shared, {{"router.2.bias", "selection_bias"}}));
}

TEMPLATE_LIST_TEST_CASE("experts by the token's class, of two widths, under one gate are ERNIE 4.5 VL", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    golden::file g(golden::data, "ernie4_5_vl_moe");
    // The class has a router of six experts per kind of token; the layer has one of twelve.
    g.put("gate", golden::stacked(g["gate"], g["vision_gate"]));
    g.put("d_gate", golden::stacked(g["d_gate"], g["d_vision_gate"]));
    g.put("selection_bias", golden::stacked(g["selection_bias"], g["vision_selection_bias"]));
    moe::bank_options text = golden::bank_of(g), vision = text;
    vision.hidden = index(g, "vision_hidden");
    const moe::index_t experts = text.experts + vision.experts;
    moe::layer layer{moe::router{moe::linear_gate<T>{{.features = text.features, .experts = experts}},
                                 moe::expert_mask{halves(experts)}, moe::softmax{}, moe::selection_bias{experts},
                                 moe::keys_only{moe::expert_mask{halves(experts)}}, moe::top_k{.k = index(g, "k")},
                                 moe::renormalize{.least = 1e-12}},
                     moe::banks{moe::swiglu_bank<T>{text}, moe::swiglu_bank<T>{vision}}, golden::shared_of<T>(g)};
    const std::vector<moe::index_t> label(g["label"].values.begin(), g["label"].values.end());
    golden::extras<T> with;
    with.in.label = label;
    with.logits = nullptr;
    with.left_out = {"d_vision_gate"};
    golden::compare<typename TestType::backend>(layer, g,
                                                golden::with(golden::shared, {{"router.3.bias", "selection_bias"},
                                                                              {"experts.0.gate", "w_gate"},
                                                                              {"experts.0.up", "w_up"},
                                                                              {"experts.0.down", "w_down"},
                                                                              {"experts.1.gate", "vision_w_gate"},
                                                                              {"experts.1.up", "vision_w_up"},
                                                                              {"experts.1.down", "vision_w_down"}}),
                                                with);
}

TEMPLATE_LIST_TEST_CASE("one expert per round among those close to the best is Phi-3.5-MoE in inference", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "phimoe");
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::sparsemixer{.k = index(g, "k"), .epsilon = g.number("epsilon")}},
        moe::swiglu_bank<T>{golden::bank_of(g)}};
    golden::compare<typename TestType::backend>(layer, g, golden::gated);
}

TEMPLATE_LIST_TEST_CASE("weights divided by their 2-norm are DBRX", "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "dbrx");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::top_k{.k = index(g, "k")},
                                 moe::p_norm{.p = g.number("p_norm")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}};
    golden::compare<typename TestType::backend>(layer, g, golden::gated);
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

TEMPLATE_LIST_TEST_CASE("a gate on normalised features of its own and a scale per expert are Gemma 4", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "gemma4");
    const moe::index_t features = index(g, "features");
    // scale * sqrt(1/D) of the class: the gain is `scale`, the temperature sqrt(D).
    moe::layer layer{
        moe::router{moe::features_through{moe::rms_normalize<T>{{.columns = features, .epsilon = 1e-6}},
                                          moe::features_through{moe::temperature{std::sqrt(g.number("features"))},
                                                                golden::gate_of<T>(g)}},
                    moe::softmax{}, moe::top_k{.k = index(g, "k")}, moe::renormalize{},
                    moe::per_expert_scale<T>{index(g, "experts")}},
        moe::ffn_bank<T, moe::gated<moe::gelu_tanh>>{golden::bank_of(g)}};
    const auto router_x = golden::matrix_of<T>(g["router_x"]);
    golden::extras<T> with;
    with.in.features = router_x;
    with.logits = nullptr;
    with.scores = "scores";
    with.left_out = {"d_scores"};
    golden::compare<typename TestType::backend>(
        layer, g,
        golden::with(golden::gated,
                     {{"gate.weight", "gate"}, {"step.gain", "router_scale"}, {"router.4.scale", "expert_scale"}}),
        with);
}

TEMPLATE_LIST_TEST_CASE("a capacity per expert and sequence, in token order, is that of Switch", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "switch_capacity");
    const moe::index_t tokens = index(g, "tokens");
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::top_k{.k = 1},
                    moe::capacity{{.count = index(g, "capacity"), .scope = moe::capacity_scope::sequence}}},
        moe::ffn_bank<T, moe::relu>{golden::bank_of(g)}};
    const std::vector<moe::index_t> sequence = {0, tokens / 2, tokens};
    golden::extras<T> with;
    with.in.sequence = sequence;
    golden::compare<typename TestType::backend>(layer, g, golden::gated, with);
}
