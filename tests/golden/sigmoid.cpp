// tests/golden: layers with sigmoid scores and a selection bias, with and without group limit and shared experts
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/route/scale.hpp"
#include "settings.hpp"

namespace {

using golden::index;

std::vector<golden::binding> biased() { return golden::with(golden::shared, {{"router.2.bias", "selection_bias"}}); }

template <class Setting>
void check_group_limited(const std::string& name, double fill) {
    using T = typename Setting::scalar;
    INFO(name);
    const golden::file g(golden::data, name);
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                    moe::group_limit{.groups = index(g, "groups"), .keep = index(g, "keep"), .best = 2, .fill = fill},
                    moe::top_k{.k = index(g, "k")}, moe::renormalize{.epsilon = 1e-20},
                    moe::scale{.factor = g.number("scale")}},
        moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename Setting::backend>(layer, g, biased());
}

template <class T>
auto biased_router(const golden::file& g, double epsilon, double scale) {
    return moe::router{golden::gate_of<T>(g),
                       moe::sigmoid{},
                       moe::selection_bias{index(g, "experts")},
                       moe::top_k{.k = index(g, "k")},
                       moe::renormalize{.epsilon = epsilon},
                       moe::scale{.factor = scale}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("sigmoid, selection bias, group limit, renormalise, scale and a shared expert are DeepSeek-V3",
                        "[golden]", golden::all_settings) {
    for (const char* name :
         {"deepseek_v3", "deepseek_v3_negative_bias", "deepseek_v3_large_bias", "dots1", "glm4_moe"}) {
        check_group_limited<TestType>(name, -std::numeric_limits<double>::infinity());
    }
}

TEMPLATE_LIST_TEST_CASE("a group limit with fill 0 is that of AXK2", "[golden]", golden::settings) {
    check_group_limited<TestType>("axk2", 0.0);
}

TEMPLATE_LIST_TEST_CASE("DeepSeek-V3 with one group, without renormalising and scaling, needs neither step", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "deepseek_v3_plain");
    moe::layer layer{moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::selection_bias{index(g, "experts")},
                                 moe::top_k{.k = index(g, "k")}},
                     moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, biased());
}

TEMPLATE_LIST_TEST_CASE("sigmoid and selection bias without groups are LFM2 and MiniMax-M2", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    for (const auto& [name, epsilon, scale] : {std::tuple{"lfm2_moe", 1e-6, 1.5}, {"minimax_m2", 0.0, 1.0}}) {
        INFO(name);
        const golden::file g(golden::data, name);
        moe::layer layer{biased_router<T>(g, epsilon, scale), moe::swiglu_bank<T>{golden::bank_of(g)}};
        golden::compare<typename TestType::backend>(layer, g, biased());
    }
}

TEMPLATE_LIST_TEST_CASE("sigmoid, selection bias, scale and a shared expert are AFMoE and HY-V3", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    for (const char* name : {"afmoe", "hy_v3"}) {
        INFO(name);
        const golden::file g(golden::data, name);
        moe::layer layer{biased_router<T>(g, 1e-20, g.number("scale")), moe::swiglu_bank<T>{golden::bank_of(g)},
                         golden::shared_of<T>(g)};
        golden::compare<typename TestType::backend>(layer, g, biased());
    }
}

TEMPLATE_LIST_TEST_CASE("sigmoid, top-k and renormalise with a shared expert are Cohere2's sigmoid setting", "[golden]",
                        golden::settings) {
    using T = typename TestType::scalar;
    const golden::file g(golden::data, "cohere2_moe_sigmoid");
    moe::layer layer{
        moe::router{golden::gate_of<T>(g), moe::sigmoid{}, moe::top_k{.k = index(g, "k")}, moe::renormalize{}},
        moe::swiglu_bank<T>{golden::bank_of(g)}, golden::shared_of<T>(g)};
    golden::compare<typename TestType::backend>(layer, g, golden::shared);
}
