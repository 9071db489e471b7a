// tests/golden: presets: routers with a sigmoid or the root of a softplus
// SPDX-License-Identifier: Apache-2.0
#include "preset.hpp"

namespace presets = moe::presets;
using golden::compare_preset;

TEMPLATE_LIST_TEST_CASE("the presets of DeepSeek-V3 and its kin are the published layers", "[golden]",
                        golden::all_settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    for (const char* name :
         {"deepseek_v3", "deepseek_v3_negative_bias", "deepseek_v3_large_bias", "deepseek_v3_plain"}) {
        compare_preset<B>(presets::deepseek_v3<T>, name);
    }
    compare_preset<B>(presets::glm4_moe<T>, "glm4_moe");
    compare_preset<B>(presets::dots1<T>, "dots1");
    compare_preset<B>(presets::kimi_k2<T>, "kimi_k2");
    compare_preset<B>(presets::exaone_moe<T>, "exaone_moe");
    compare_preset<B>(presets::solar_open<T>, "solar_open");
    compare_preset<B>(presets::afmoe<T>, "afmoe");
}

TEMPLATE_LIST_TEST_CASE("the presets of DeepSeek-V4 choose by score, or by a table of token ids", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::deepseek_v4<T>, "deepseek_v4");
    const golden::file g(golden::data, "deepseek_v4_hash");
    const std::vector<moe::index_t> ids(g["token_id"].values.begin(), g["token_id"].values.end());
    golden::extras<T> with;
    with.in.token_id = ids;
    compare_preset<B>(presets::deepseek_v4_hash<T>, "deepseek_v4_hash", golden::of_presets, with);
}

TEMPLATE_LIST_TEST_CASE("the presets of sigmoid routers without groups are the published layers", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::lfm2_moe<T>, "lfm2_moe");
    compare_preset<B>(presets::minimax_m2<T>, "minimax_m2");
    const golden::file g(golden::data, "cohere2_moe_sigmoid");
    auto o = golden::options_of<presets::cohere2_moe_sum_options>(g);
    o.scores = presets::cohere2_moe_scores::sigmoid;
    auto layer = presets::cohere2_moe_sum<T>(o);
    golden::compare<B>(layer, g, golden::of_presets);
}

TEMPLATE_LIST_TEST_CASE("the presets of Nemotron-H, with and without latent experts, are the published layers",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    compare_preset<B>(presets::nemotron_h<T>, "nemotron_h");
    const auto bindings = golden::with(golden::of_presets, {{"experts.projection", "latent_in"},
                                                            {"experts.bank.up", "w_up"},
                                                            {"experts.bank.down", "w_down"},
                                                            {"combine.projection", "latent_out"}});
    compare_preset<B>(presets::nemotron_h_latent<T>, "nemotron_h_latent", bindings);
}
