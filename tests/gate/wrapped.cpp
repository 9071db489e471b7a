// Gates around a gate: pooled_gate and frozen_gate.
#include "score/step_support.hpp"

namespace {

const std::vector<moe::index_t> five_columns{0, 1, 1, 0, 3};

template <class T>
auto pooled(moe::pooling how) {
    return moe::pooled_gate{copy_gate<T>{5}, {.experts = 4, .expert_of_column = five_columns, .how = how}};
}

template <class On>
auto pooled_logits(moe::pooling how, std::initializer_list<std::initializer_list<double>> columns) {
    using T = typename On::scalar;
    const auto x = rows_of<T>(columns);
    moe::batch<T> in;
    in.x = x;
    return route<typename On::backend>(moe::router{pooled<T>(how), moe::top_k{.k = 4}}, in);
}

template <class T>
auto pooled_layer(moe::pooling how) {
    const moe::cosine_gate<T> gate{{.features = 6, .experts = 5, .seed = 2}};
    return moe::layer{moe::router{moe::pooled_gate{gate, {.experts = 4, .expert_of_column = five_columns, .how = how}},
                                  moe::softmax{}, moe::top_k{.k = 2}},
                      moe::swiglu_bank<T>{{.features = 6, .hidden = 3, .experts = 4, .seed = 4}}};
}

template <class T>
auto frozen_layer() {
    return moe::layer{moe::router{moe::frozen_gate{moe::linear_gate<T>{{.features = 6, .experts = 4, .seed = 2}}},
                                  moe::softmax{}, moe::top_k{.k = 2}},
                      moe::swiglu_bank<T>{{.features = 6, .hidden = 3, .experts = 4, .seed = 4}}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("pooled_gate pools the columns of an expert", "", every_backend) {
    const auto mean = pooled_logits<TestType>(moe::pooling::mean, {{1, 4, 2, 2, 5}});
    check_close(mean.logits, {{1.5, 3, -infinity, 5}});
    CHECK(mean.expert == std::vector<moe::index_t>{3, 1, 0, -1});
    check_close(pooled_logits<TestType>(moe::pooling::max, {{1, 4, 2, 2, 5}, {1, not_a_number, 2, 2, 5}}).logits,
                {{2, 4, -infinity, 5}, {2, not_a_number, -infinity, 5}});
    check_close(pooled_logits<TestType>(moe::pooling::log_sum_exp, {{1, 4, 4, 1, 5}, {-infinity, 1, 2, 3, 0}}).logits,
                {{1 + std::log(2), 4 + std::log(2), -infinity, 5}, {3, 2.3132616875182228, -infinity, 0}});
    check_close(pooled_logits<TestType>(moe::pooling::log_sum_exp, {{1, infinity, 4, not_a_number, -infinity}}).logits,
                {{not_a_number, infinity, -infinity, -infinity}});
}

TEST_CASE("the gradients of wrapped gates equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 6, 81);
    moe::batch<double> in;
    in.x = x;
    SECTION("mean") { check_derivatives(pooled_layer<double>(moe::pooling::mean), in); }
    SECTION("max") { check_derivatives(pooled_layer<double>(moe::pooling::max), in); }
    SECTION("log_sum_exp") { check_derivatives(pooled_layer<double>(moe::pooling::log_sum_exp), in); }
    SECTION("frozen") { check_derivatives(frozen_layer<double>(), in); }
}

TEMPLATE_LIST_TEST_CASE("layers behind wrapped gates keep the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 6, 81);
    moe::batch<T> in;
    in.x = x;
    check_laws<typename TestType::backend>(pooled_layer<T>(moe::pooling::log_sum_exp), in);
    check_laws<typename TestType::backend>(frozen_layer<T>(), in);
}

TEST_CASE("a frozen gate has no parameters, state instead, and its layer still trains") {
    auto layer = frozen_layer<float>();
    int gates = 0;
    moe::visit_parameters([&](const moe::parameter_name& name, auto&) { gates += name.text().find("router") == 0; },
                          layer);
    CHECK(gates == 0);
    auto& frozen = layer.router().step<0>();
    int saved = 0;
    auto visitor = [&](const moe::parameter_name&, auto& values) { saved += moe::flat(values).size() > 0; };
    std::remove_reference_t<decltype(frozen)>::state(moe::named_visitor<decltype(visitor)>{visitor, {}}, frozen);
    CHECK(saved == 1);
}

TEST_CASE("pooled_gate refuses maps that do not fit") {
    const auto build = [](std::vector<moe::index_t> map, moe::index_t experts) {
        moe::pooled_gate{copy_gate<float>{3}, {.experts = experts, .expert_of_column = map}};
    };
    CHECK(thrown<moe::value_error>([&] { build({0, 1, 2}, 2); }) ==
          "moe: pooled_gate.expert_of_column[2]: wanted 0 to 1, got 2");
    CHECK(thrown<moe::value_error>([&] { build({0, -1, 0}, 2); }) != "");
    CHECK(thrown<moe::shape_error>([&] { build({0, 1}, 2); }) ==
          "moe: pooled_gate.expert_of_column: wanted [3], got [2]");
    CHECK(thrown<moe::value_error>([&] {
              build({0, 0, 0}, 0);
          }) == "moe: pooled_gate.experts: wanted at least 1, got 0");
}
