// tests/golden: plain (not gated) experts, with biases, and Switch's top-1 layer
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "settings.hpp"

namespace {

using golden::index;

template <class Setting, class Activation>
void check_plain(const std::string& name) {
    using T = typename Setting::scalar;
    INFO(name);
    const golden::file g(golden::data, name);
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
        moe::ffn_bank<T, Activation>{golden::bank_of(g)}};
    golden::compare<typename Setting::backend>(layer, g, golden::with(golden::gated, golden::biases));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("plain experts with biases are two linear maps of PyTorch with ReLU, GELU or SiLU between",
                        "[golden]", golden::settings) {
    check_plain<TestType, moe::relu>("plain_relu_bias");
    check_plain<TestType, moe::gelu>("plain_gelu_bias");
    check_plain<TestType, moe::silu>("plain_silu_bias");
}
