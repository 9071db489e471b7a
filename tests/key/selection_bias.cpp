#include "moe/key/selection_bias.hpp"

#include <numeric>
#include <set>

#include "moe/core/bfloat16.hpp"
#include "score/step_support.hpp"

namespace {

moe::selection_bias bias_of(std::initializer_list<float> values) {
    moe::selection_bias step(moe::index_t(values.size()));
    std::copy(values.begin(), values.end(), step.bias.data());
    return step;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a selection bias moves the choice and no weight", "", every_backend) {
    using T = typename TestType::scalar;
    const auto r = route_logits<TestType>({{0, 2, 1}, {4, 0, 0}}, moe::sigmoid{}, bias_of({0, -1, 0.5f}));
    check_close(r.keys, {{0.5, -0.11920292202211755, 1.2310585786300049},
                         {0.98201379003790845, -0.5, 1.0}});
    CHECK(r.expert == std::vector<moe::index_t>{2, 2});
    CHECK(r.weight == std::vector<T>{r.scores(0, 2), r.scores(1, 2)});
}

TEMPLATE_LIST_TEST_CASE("a large bias leaves tiny weights exact", "", every_backend) {
    using T = typename TestType::scalar;
    const auto r = route_logits<TestType>({{-18, -19, -20}}, moe::sigmoid{}, bias_of({12, 13, 12}));
    CHECK(r.expert == std::vector<moe::index_t>{1});
    CHECK(r.weight[0] == r.scores(0, 1));
    CHECK(double(r.weight[0]) == Approx(5.6027964e-9).epsilon(1e-6));
    CHECK(T(r.weight[0] + T(13)) - T(13) != r.weight[0]);
}

TEMPLATE_LIST_TEST_CASE("238 biases that bfloat16 would merge into 16 choose 238 experts", "", every_backend) {
    using T = typename TestType::scalar;
    constexpr moe::index_t experts = 238;
    // Between 12 and 13, where bfloat16 has steps of 1/16. Token t is a 4096th ahead at expert t.
    const auto bias = [](moe::index_t e) { return 12 + static_cast<float>(e) / 256; };
    moe::selection_bias step(experts);
    moe::matrix<T> x(experts, experts);
    std::set<float> merged;
    for (moe::index_t e = 0; e < experts; ++e) {
        step.bias.data()[e] = bias(e);
        merged.insert(static_cast<float>(moe::bfloat16(bias(e))));
        for (moe::index_t t = 0; t < experts; ++t) x(t, e) = T(t == e ? 1 : 0) / T(4096) - T(bias(e));
    }
    moe::batch<T> in;
    in.x = x;
    const auto r = route<typename TestType::backend>(
        moe::router{copy_gate<T>{experts}, std::move(step), moe::top_k{.k = 1}}, in);
    std::vector<moe::index_t> own(static_cast<std::size_t>(experts));
    std::iota(own.begin(), own.end(), 0);
    CHECK(r.expert == own);
    CHECK(merged.size() == 16);
}

TEMPLATE_LIST_TEST_CASE("a selection bias keeps excluded keys excluded and NaN in its entry", "", every_backend) {
    const moe::expert_mask mask{rows_of<std::uint8_t>({{0, 1, 1}})};
    const auto r = route_logits<TestType>({{9, not_a_number, 1}}, mask, bias_of({100, 1, 1}));
    check_close(r.keys, {{-infinity, not_a_number, 2}});
    CHECK(r.expert == std::vector<moe::index_t>{2});
}

TEST_CASE("a selection bias is float storage, state, and no parameter") {
    moe::router router{copy_gate<double>{3}, bias_of({1, 2, 3}), moe::top_k{.k = 1}};
    static_assert(std::is_same_v<decltype(moe::get<moe::selection_bias>(router).bias), moe::buffer<float>>);
    static_assert(!moe::has_parameters<moe::selection_bias>);
    int visited = 0;
    auto visitor = [&](const moe::parameter_name& name, auto& values) {
        ++visited;
        CHECK(name.text() == "1.bias");
        CHECK(moe::flat(values).size() == 3);
    };
    decltype(router)::state(moe::named_visitor<decltype(visitor)>{visitor, {}}, router);
    CHECK(visited == 1);
}

TEST_CASE("a selection bias hides no gradient") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 22);
    moe::batch<double> in;
    in.x = x;
    check_derivatives(layer_around<double>(moe::sigmoid{}, bias_of({0.5f, -1, 0, 0.25f, -0.5f, 0, 0.1f, 0.3f}),
                                           moe::top_k{.k = 3}, moe::renormalize{.epsilon = 1e-20}),
                      in);
}

TEMPLATE_LIST_TEST_CASE("a layer with a selection bias keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 22);
    moe::batch<T> in;
    in.x = x;
    check_laws<typename TestType::backend>(
        layer_around<T>(moe::sigmoid{}, bias_of({0.5f, -1, 0, 0.25f, -0.5f, 0, 0.1f, 0.3f}), moe::top_k{.k = 3}), in);
}

TEST_CASE("a selection bias refuses no experts and another number of columns") {
    CHECK(thrown<moe::value_error>([] { moe::selection_bias{0}; }) ==
          "moe: selection_bias.experts: wanted at least 1, got 0");
    CHECK(refused<moe::shape_error>(moe::selection_bias{7}) == "moe: selection_bias.bias: wanted [8], got [7]");
    CHECK(refused<moe::shape_error>(moe::selection_bias{8}) == "");
}
