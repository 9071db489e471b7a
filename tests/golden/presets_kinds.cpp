// tests/golden: presets with a selector or experts of their own kind
// SPDX-License-Identifier: Apache-2.0
#include "preset.hpp"

namespace presets = moe::presets;
using golden::compare_preset;

TEMPLATE_LIST_TEST_CASE("the presets of Phi-3.5-MoE, LongCat-Flash and Doge are the published layers", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    const golden::file g(golden::data, "phimoe");
    auto o = golden::options_of<presets::phimoe_options>(g);
    o.epsilon = g.number("epsilon");
    auto layer = presets::phimoe<T>(o);
    golden::compare<B>(layer, g, golden::of_presets);

    const golden::file drawn(golden::data, "phimoe_training");
    o = golden::options_of<presets::phimoe_options>(drawn);
    o.epsilon = drawn.number("epsilon");
    auto trained = presets::phimoe<T>(o);
    golden::extras<T> training;
    training.in.training = true;
    training.in.seed = static_cast<std::uint64_t>(drawn.number("draw_seed"));
    training.in.step = static_cast<std::uint64_t>(drawn.number("draw_step"));
    golden::compare<B>(trained, drawn, golden::of_presets, training);

    compare_preset<B>(presets::longcat_flash<T>, "longcat_flash");
    compare_preset<B>(presets::doge<T>, "doge",
                      golden::with(golden::of_presets, {{"experts.in", "w_up"}, {"experts.out", "w_down"}}));
}

TEMPLATE_LIST_TEST_CASE("the preset of Gemma 4 routes by features of its own", "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "gemma4");
    const auto router_x = golden::matrix_of<T>(g["router_x"]);
    golden::extras<T> with;
    with.in.features = router_x;
    with.logits = nullptr;
    with.scores = "scores";
    with.left_out = {"d_scores"};
    const auto bindings =
        golden::with(golden::of_presets,
                     {{"gate.weight", "gate"}, {"step.gain", "router_scale"}, {"router.4.scale", "expert_scale"}});
    compare_preset<typename TestType::backend>(presets::gemma4<T>, "gemma4", bindings, with);
}

TEMPLATE_LIST_TEST_CASE("the presets of Switch take one expert, and drop or pass what is over a sequence's capacity",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    const auto bindings = golden::with(golden::of_presets, {{"gate.weight", "gate"}, {"gate.bias", "gate_bias"}});
    compare_preset<B>(presets::switch_transformers<T>, "switch", bindings);

    const golden::file g(golden::data, "switch_capacity");
    const moe::index_t tokens = golden::index(g, "tokens");
    const std::vector<moe::index_t> sequence = {0, tokens / 2, tokens};
    golden::extras<T> with;
    with.in.sequence = sequence;
    compare_preset<B>(presets::switch_transformers<T>, "switch_capacity", bindings, with);
    compare_preset<B>(presets::switch_transformers_pass<T>, "switch_pass", bindings, with);
}

TEMPLATE_LIST_TEST_CASE("the preset of NLLB-MoE gives room to all first choices first, in token order or by score",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::nllb_moe<T>, "nllb_moe");
    compare_preset<B>(presets::nllb_moe<T>, "nllb_moe_prioritized");
}
