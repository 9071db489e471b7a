// tests/golden: presets: routers with a softmax, and the weights of selected logits
// SPDX-License-Identifier: Apache-2.0
#include "preset.hpp"

namespace presets = moe::presets;
using golden::compare_preset;

namespace {

/// The shared expert of the Qwens has a gate of its own, which comes first.
const std::vector<golden::binding> of_gated_shared = golden::with({{"shared.gate", "shared_gate"},
                                                                   {"shared.experts.gate", "shared_w_gate"},
                                                                   {"shared.experts.up", "shared_w_up"},
                                                                   {"shared.experts.down", "shared_w_down"}},
                                                                  golden::of_presets);

/// [2E,D] of the gate and [2E] of the bias: the rows of text experts, then those of vision experts.
golden::file ernie_vl() {
    golden::file g(golden::data, "ernie4_5_vl_moe");
    for (const char* name : {"gate", "d_gate", "selection_bias"}) {
        const std::string text = name, vision = text == "d_gate" ? "d_vision_gate" : "vision_" + text;
        g.put(text, golden::stacked(g[text], g[vision]));
    }
    return g;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the presets of Mixtral and the Qwens without shared expert are the published layers",
                        "[golden]", golden::all_settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::mixtral<T>, "mixtral");
    compare_preset<B>(presets::minimax<T>, "minimax");
    compare_preset<B>(presets::qwen3_moe<T>, "qwen3_moe");
    compare_preset<B>(presets::qwen3_moe<T>, "qwen3_moe_normalized");
    compare_preset<B>(presets::olmoe<T>, "olmoe");
    compare_preset<B>(presets::flex_olmo<T>, "flex_olmo");
    compare_preset<B>(presets::jamba<T>, "jamba");
}

TEMPLATE_LIST_TEST_CASE("the presets of the Qwens with a gated shared expert are the published layers", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::qwen2_moe<T>, "qwen2_moe", of_gated_shared);
    compare_preset<B>(presets::qwen3_next<T>, "qwen3_next", of_gated_shared);
    compare_preset<B>(presets::qwen3_5_moe<T>, "qwen3_5_moe", of_gated_shared);
}

TEMPLATE_LIST_TEST_CASE("the presets of DeepSeek-V2, Hunyuan, ERNIE and DBRX are the published layers", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::deepseek_v2<T>, "deepseek_v2");
    compare_preset<B>(presets::deepseek_v2<T>, "deepseek_v2_greedy");
    compare_preset<B>(presets::hunyuan_v1_moe<T>, "hunyuan_v1_moe");
    compare_preset<B>(presets::ernie4_5_moe<T>, "ernie4_5_moe");
    compare_preset<B>(presets::dbrx<T>, "dbrx");
}

TEMPLATE_LIST_TEST_CASE("the preset of ERNIE 4.5 VL sends tokens to the experts of their class", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g = ernie_vl();
    auto layer = presets::ernie4_5_vl_moe<T>(golden::options_of<presets::ernie4_5_vl_moe_options>(g));
    const std::vector<moe::index_t> label(g["label"].values.begin(), g["label"].values.end());
    golden::extras<T> with;
    with.in.label = label;
    with.logits = nullptr;
    with.left_out = {"d_vision_gate"};
    const auto bindings = golden::with(golden::of_presets, {{"experts.1.gate", "vision_w_gate"},
                                                            {"experts.1.up", "vision_w_up"},
                                                            {"experts.1.down", "vision_w_down"}});
    golden::compare<typename TestType::backend>(layer, g, bindings, with);
}

TEMPLATE_LIST_TEST_CASE("the presets of layers that weigh the selected logits are the published layers", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::granitemoe<T>, "granitemoe");
    compare_preset<B>(presets::granitemoeshared<T>, "granitemoeshared");
    compare_preset<B>(presets::aria<T>, "aria");
    compare_preset<B>(presets::jetmoe<T>, "jetmoe",
                      golden::with(golden::of_presets, {{"combine.bias", "output_bias"}}));
    compare_preset<B>(presets::gpt_oss<T>, "gpt_oss");
    compare_preset<B>(presets::llama4<T>, "llama4");
    compare_preset<B>(presets::cohere2_moe<T>, "cohere2_moe_softmax");
}
