// tests/golden: layers with a softmax over all experts, built from parts, compute what transformers computes
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::bank_of;
using golden::gate_of;
using golden::gated;
using golden::index;

template <class Setting, class Activation>
void check_renormalized(const std::string& name) {
    using T = typename Setting::scalar;
    INFO(name);
    const golden::file g(golden::data, name);
    moe::layer layer{moe::router{gate_of<T>(g), moe::softmax{}, moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
                     moe::ffn_bank<T, moe::gated<Activation>>{bank_of(g)}};
    golden::compare<typename Setting::backend>(layer, g, gated);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("Mixtral's layer is the published one for wide experts, one token, one choice and all experts",
                        "[golden]", golden::all_settings) {
    for (const char* name : {"wide_features", "wide_hidden", "one_choice_normalized", "one_token", "all_experts"}) {
        check_renormalized<TestType, moe::silu>(name);
    }
}

TEMPLATE_LIST_TEST_CASE("gated experts with GELU, tanh GELU and ReLU are those of PyTorch", "[golden]",
                        golden::settings) {
    check_renormalized<TestType, moe::gelu>("geglu");
    check_renormalized<TestType, moe::gelu_tanh>("geglu_tanh");
    check_renormalized<TestType, moe::relu>("reglu");
}
