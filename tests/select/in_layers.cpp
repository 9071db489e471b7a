// Every selector inside a layer: laws of layers and gradients on every backend.
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/always_on.hpp"
#include "moe/select/dense.hpp"
#include "moe/select/expert_choice.hpp"
#include "moe/select/first_and_second.hpp"
#include "moe/select/global_top.hpp"
#include "moe/select/rank_set.hpp"
#include "moe/select/statistic_threshold.hpp"
#include "moe/select/table.hpp"
#include "moe/select/threshold.hpp"
#include "moe/select/top_k.hpp"
#include "moe/select/top_p.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "select/hand.hpp"
#include "support/tolerance.hpp"

namespace {

template <class T>
struct sample {
    moe::matrix<T> x = moe::testing::random_matrix<T>(7, 5, 4);
    std::vector<std::uint8_t> mask = {1, 1, 0, 1, 1, 1, 0};
    ids id = {0, 2, 1, 1, 0, 2, 2};
    ids cut = {0, 3, 3, 7};
    moe::batch<T> in;
    explicit sample(bool masked) {
        in.x = x;
        if (masked) in.mask = mask;
        in.token_id = id;
        in.label = id;
        in.sequence = cut;
        in.training = true;
    }
};

template <class T, class Selector>
auto layer_with(const Selector& selector) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::softmax{}, selector},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
}

template <class On, class Selector>
void check_selector(const Selector& selector) {
    using T = typename On::scalar;
    typename On::backend backend;
    INFO(Selector::name);
    for (const bool masked : {false, true}) {
        const sample<T> s(masked);
        const auto layer = layer_with<T>(selector);
        CHECK(moe::testing::taped_equals_inference(backend, layer, s.in) == "");
        if (!moe::traits_of(layer).batch_coupled) {
            CHECK(moe::testing::isolates_tokens(backend, layer, s.in) == "");
            CHECK(moe::testing::independent_of_batch(backend, layer, s.in) == "");
        }
    }
    const sample<double> s(true);
    auto layer = layer_with<double>(selector);
    const auto report = moe::testing::check_gradients(backend, layer, s.in);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
    CHECK(report.nonzero);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("layers with any selector keep the laws of layers and have exact gradients", "", every_backend) {
    const auto table = rows_of<moe::index_t>({{0, 3}, {2, 1}, {-1, 4}});
    check_selector<TestType>(moe::top_p{.p = 0.6});
    check_selector<TestType>(moe::expert_choice{.capacity_factor = 2});
    check_selector<TestType>(moe::expert_choice{.capacity = 1, .per_sequence = true});
    check_selector<TestType>(moe::dense{});
    check_selector<TestType>(moe::rank_set{{2, 0}});
    check_selector<TestType>(moe::token_table{table});
    check_selector<TestType>(moe::label_table{table});
    check_selector<TestType>(moe::threshold{.value = 0.15});
    check_selector<TestType>(moe::token_threshold{});
    check_selector<TestType>(moe::batch_threshold{});
    check_selector<TestType>(moe::global_top{.experts_per_token = 2});
    check_selector<TestType>(moe::first_and_second{moe::second_expert::sampling});
    check_selector<TestType>(moe::first_and_second{moe::second_expert::random});
    check_selector<TestType>(moe::always_on{moe::top_k{.k = 2}, {.experts = {5}, .hidden = true}});
}
