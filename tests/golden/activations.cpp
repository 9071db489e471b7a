// tests/golden: gated activations with limits, in layers of the models that have them
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::index;

std::vector<golden::binding> with_biases() { return golden::with(golden::gated, golden::biases); }
std::vector<golden::binding> biased() { return golden::with(golden::shared, {{"router.2.bias", "selection_bias"}}); }

moe::scaled_swiglu scaled_of(const golden::file& g) {
    return moe::scaled_swiglu{{.alpha = g.number("alpha"), .limit = g.number("limit")}};
}

template <class T, class Activation>
auto bank_with(const golden::file& g, Activation act) {
    return moe::ffn_bank<T, Activation>{golden::bank_of(g), act};
}

template <class T, class Activation>
auto shared_with(const golden::file& g, Activation act) {
    return moe::shared{moe::ffn_bank<T, Activation>{golden::shared_bank_of(g), act}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("weights divided by k and a sum times k are those of OpenAI's privacy filter", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "openai_privacy_filter");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::top_k{.k = index(g, "k")}, moe::softmax_selected{},
                                 moe::scale{.factor = 1.0 / g.number("k")}},
                     bank_with<T>(g, scaled_of(g)), moe::scaled_sum{.factor = g.number("k")}};
    golden::compare<typename TestType::backend>(layer, g, with_biases());
}

TEMPLATE_LIST_TEST_CASE("scaled SwiGLU in routed and shared experts and a scaled routed sum are MiniMax-M3", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "minimax_m3_vl");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
                     bank_with<T>(g, scaled_of(g)), shared_with<T>(g, scaled_of(g)),
                     moe::scaled_sum{.factor = g.number("scale")}};
    golden::compare<typename TestType::backend>(layer, g, biased());
}

TEMPLATE_LIST_TEST_CASE("SwiGLU clamped after, with another limit for the shared expert, is Step-3.7", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "step3p7");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
                     bank_with<T>(g, moe::clamp_after_swiglu{{.limit = g.number("limit")}}),
                     shared_with<T>(g, moe::clamp_after_swiglu{{.limit = g.number("shared_limit")}}),
                     moe::scaled_sum{.factor = g.number("scale")}};
    golden::compare<typename TestType::backend>(layer, g, biased());
}
