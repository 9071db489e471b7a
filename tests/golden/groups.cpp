// tests/golden: softmax scores under a group limit, and softmax over the selected logits
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/route/scale.hpp"
#include "moe/route/softmax_selected.hpp"
#include "settings.hpp"

namespace {

using golden::index;

moe::group_limit limit_of(const golden::file& g) {
    return {.groups = index(g, "groups"), .keep = index(g, "keep"), .best = index(g, "best"), .fill = 0.0};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("softmax, groups by their best expert with fill 0, scale and shared experts are DeepSeek-V2",
                        "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "deepseek_v2");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, limit_of(g), moe::top_k{.k = index(g, "k")},
                                 moe::scale{.factor = g.number("scale")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, golden::shared);
}

TEMPLATE_LIST_TEST_CASE("softmax and top-k with a shared expert are DeepSeek-V2's greedy setting", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "deepseek_v2_greedy");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::softmax{}, moe::top_k{.k = index(g, "k")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, golden::shared);
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

TEMPLATE_LIST_TEST_CASE("top-k of the logits and softmax over the selected are Granite", "[golden]", golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "granitemoe");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::top_k{.k = index(g, "k")}, moe::softmax_selected{}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}};
    golden::compare<typename TestType::backend>(layer, g, golden::gated);
}
