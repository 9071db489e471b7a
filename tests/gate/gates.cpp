// Every gate: hand values, gradients, laws, features other than x, bad options.
#include "score/step_support.hpp"

namespace {

// Logits of a gate for rows of features.
template <class On, class Gate>
auto gate_logits(const Gate& gate, const moe::matrix<typename On::scalar>& x) {
    moe::batch<typename On::scalar> in;
    in.x = x;
    return route<typename On::backend>(moe::router{gate, moe::top_k{.k = 1}}, in).logits;
}

const std::vector<moe::index_t> gate_labels{0, 1, 2, 1, 0, 2};

template <class T>
moe::label_table_gate<T> some_label_gate() {
    moe::label_table_gate<T> gate{{.features = 6, .labels = 3, .experts = 8}};
    const auto values = moe::testing::random_matrix<T>(3, 8, 61);
    std::copy(values.span().begin(), values.span().end(), gate.table.span().begin());
    return gate;
}

template <class T>
auto nested_gate() {
    moe::rms_normalize<T> norm{{.columns = 6}};
    for (moe::index_t k = 0; k < 6; ++k) norm.gain(0, k) = T(1) + T(0.125) * T(k);
    return moe::features_through{
        norm,
        moe::features_through{moe::jitter{0.25}, moe::linear_gate<T>{{.features = 6, .experts = 8, .bias = true}}}};
}

// Gates see features of width 6, experts see x of width 5.
template <class T, class Gate>
auto layer_behind(Gate gate) {
    return moe::layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 3, .experts = 8, .seed = 4}}};
}

template <class T>
struct gate_batch {
    moe::matrix<T> x = moe::testing::random_matrix<T>(6, 5, 62);
    moe::matrix<T> features = moe::testing::random_matrix<T>(6, 6, 63);
    moe::batch<T> in;

    gate_batch() {
        in.x = x;
        in.features = features;
        in.label = gate_labels;
        in.training = true;
    }
};

template <class T>
moe::panels<T> panels_of(std::initializer_list<std::initializer_list<double>> rows) {
    const auto m = rows_of<T>(rows);
    moe::panels<T> p(1, m.rows(), m.cols());
    p.assign(0, m.view());
    return p;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("cosine_gate gives the cosines of its vectors over the temperature", "", every_backend) {
    using T = typename TestType::scalar;
    moe::cosine_gate<T> gate{{.features = 2, .experts = 3, .temperature = 0.5}};
    gate.weight = panels_of<T>({{1, 0}, {0, 2}, {0, 0}});
    check_close(gate_logits<TestType>(gate, rows_of<T>({{3, 4}, {-1, 0}, {0, 0}, {not_a_number, 1}})),
                {{1.2, 1.6, 0}, {-2, 0, 0}, {0, 0, 0}, {not_a_number, not_a_number, not_a_number}});
}

TEMPLATE_LIST_TEST_CASE("scaling a token changes no logit of a cosine_gate", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::cosine_gate<T> gate{{.features = 6, .experts = 8, .projection = 4}};
    auto x = moe::testing::random_matrix<T>(5, 6, 64);
    const auto once = gate_logits<TestType>(gate, x);
    for (T& v : x.span()) v *= T(1000);
    const auto again = gate_logits<TestType>(gate, x);
    CHECK(relative_error(again.view(), once.view()) <= tolerance<T>::value);
}

TEMPLATE_LIST_TEST_CASE("mlp_gate gives hand values", "", every_backend) {
    using T = typename TestType::scalar;
    moe::mlp_gate<T> gate{{.features = 2, .hidden = 2, .experts = 3, .bias = true}};
    gate.weight_in = panels_of<T>({{1, -1}, {0.5, 0}});
    gate.weight_out = panels_of<T>({{1, 0}, {0, 2}, {1, 1}});
    gate.bias_in(0, 1) = T(1);
    gate.bias_out(0, 2) = T(-1);
    const double a = std::tanh(-1.0), b = std::tanh(2.0);
    check_close(gate_logits<TestType>(gate, rows_of<T>({{2, 3}})), {{a, 2 * b, a + b - 1}});
    moe::mlp_gate<T, moe::relu> rectified{{.features = 2, .hidden = 2, .experts = 3}};
    rectified.weight_in = gate.weight_in;
    rectified.weight_out = gate.weight_out;
    check_close(gate_logits<TestType>(rectified, rows_of<T>({{2, 3}, {4, 1}})), {{0, 2, 1}, {3, 4, 5}});
}

TEMPLATE_LIST_TEST_CASE("product_keys_gate scores the halves of its query", "", every_backend) {
    using T = typename TestType::scalar;
    moe::product_keys_gate<T> gate{{.features = 4, .experts = 4}};
    gate.first = panels_of<T>({{1, 0}, {0, 1}});
    gate.second = panels_of<T>({{1, 1}, {1, -1}});
    const auto x = rows_of<T>({{1, 2, 3, 5}});
    check_close(gate_logits<TestType>(gate, x), {{1, 2, 8, -2}});
    moe::product_keys_gate<T> mapped{{.features = 1, .experts = 4, .query = 4}};
    mapped.query = panels_of<T>({{1}, {2}, {3}, {5}});
    mapped.first = gate.first;
    mapped.second = gate.second;
    check_close(gate_logits<TestType>(mapped, rows_of<T>({{-2}})), {{-2, -4, -16, 4}});
}

TEMPLATE_LIST_TEST_CASE("label_table_gate gives the row of the label and 0 to padding", "", every_backend) {
    using T = typename TestType::scalar;
    moe::label_table_gate<T> gate{{.features = 1, .labels = 2, .experts = 2}};
    gate.table(1, 0) = T(7);
    gate.table(1, 1) = T(8);
    const moe::matrix<T> x(3, 1);
    const std::vector<moe::index_t> label{1, 0, -5};
    const std::vector<std::uint8_t> mask{1, 1, 0};
    moe::batch<T> in;
    in.x = x;
    in.label = label;
    in.mask = mask;
    check_close(route<typename TestType::backend>(moe::router{gate, moe::top_k{.k = 1}}, in).logits,
                {{7, 8}, {0, 0}, {0, 0}});
}

TEMPLATE_LIST_TEST_CASE("features_through changes what the gate sees and nothing else", "", every_backend) {
    using T = typename TestType::scalar;
    moe::linear_gate<T> gate{{.features = 2, .experts = 2}};
    gate.weight = panels_of<T>({{1, 0}, {1, 1}});
    const auto x = rows_of<T>({{6, 8}});
    const moe::features_through halved{moe::temperature{2}, gate};
    check_close(gate_logits<TestType>(halved, x), {{3, 7}});
    check_close(gate_logits<TestType>(moe::features_through{moe::l2_normalize{1e-20}, halved}, x), {{0.3, 0.7}});
    CHECK(x(0, 0) == T(6));
}

TEMPLATE_LIST_TEST_CASE("input jitter in front of a gate reaches neither x nor the experts", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::linear_gate<T> gate{{.features = 4, .experts = 1, .seed = 3}};
    // One expert has weight 1 whatever its logit: y is what it sees.
    const moe::layer layer{moe::router{moe::features_through{moe::jitter{.epsilon = 0.5}, gate}, moe::softmax{},
                                       moe::top_k{.k = 1}},
                           moe::identity_bank<T>{{.features = 4, .experts = 1}}};
    const auto x = moe::testing::random_matrix<T>(5, 4, 8);
    const std::vector<T> given(x.span().begin(), x.span().end());
    moe::batch<T> in;
    in.x = x;
    in.training = true;
    typename TestType::backend backend;
    moe::matrix<T> y(5, 4);
    moe::tape<T> tape;
    layer.forward(backend, in, y.view(), tape);
    CHECK(std::equal(y.span().begin(), y.span().end(), given.begin()));
    CHECK(std::equal(x.span().begin(), x.span().end(), given.begin()));
    const T noisy = tape.routing().logits(0, 0);
    in.training = false;
    layer.forward(backend, in, y.view(), tape);
    CHECK(tape.routing().logits(0, 0) != noisy);
}

TEMPLATE_LIST_TEST_CASE("an upcast linear_gate rounds the exact product once", "", every_backend) {
    using T = typename TestType::scalar;
    constexpr moe::index_t features = 300, experts = 70;
    moe::linear_gate<T, moe::gate_math::upcast> gate{
        {.features = features, .experts = experts, .bias = true, .seed = 6}};
    for (moe::index_t e = 0; e < experts; ++e) gate.bias(0, e) = T(0.125) * T(e);
    const auto x = moe::testing::random_matrix<T>(3, features, 65);
    const auto logits = gate_logits<TestType>(gate, x);
    double worst = 0;
    for (moe::index_t t = 0; t < 3; ++t) {
        for (moe::index_t e = 0; e < experts; ++e) {
            double sum = 0;
            for (moe::index_t k = 0; k < features; ++k) sum += double(x(t, k)) * double(gate.weight(0, e, k));
            sum += double(gate.bias(0, e));
            const double error = std::abs(double(logits(t, e)) - sum);
            const double half_ulp = 0.5 * double(std::numeric_limits<T>::epsilon()) * std::abs(sum);
            worst = std::max(worst, error - half_ulp);
        }
    }
    CHECK(worst <= 1e-13);
    const moe::linear_gate<T, moe::gate_math::float_score> same{{.features = features, .experts = experts, .seed = 6}};
    const moe::linear_gate<T> plain{{.features = features, .experts = experts, .seed = 6}};
    CHECK(moe::testing::same_bits(gate_logits<TestType>(same, x), gate_logits<TestType>(plain, x)));
}

TEST_CASE("the gradients of gates equal central differences, with features other than x") {
    using T = double;
    const gate_batch<T> given;
    SECTION("linear") {
        check_derivatives(layer_behind<T>(moe::linear_gate<T>{{.features = 6, .experts = 8, .bias = true}}), given.in);
    }
    SECTION("linear, upcast") {
        check_derivatives(layer_behind<T>(moe::linear_gate<T, moe::gate_math::upcast>{{.features = 6, .experts = 8}}),
                          given.in);
    }
    SECTION("cosine") {
        check_derivatives(layer_behind<T>(moe::cosine_gate<T>{{.features = 6, .experts = 8, .temperature = 0.3}}),
                          given.in);
    }
    SECTION("cosine with projection") {
        const moe::cosine_gate<T> gate{{.features = 6, .experts = 8, .projection = 4, .temperature = 0.3}};
        check_derivatives(layer_behind<T>(gate), given.in);
    }
    SECTION("cosine of short vectors") {
        const moe::cosine_gate<T> gate{{.features = 6, .experts = 8, .epsilon = 100}};
        check_derivatives(layer_behind<T>(gate), given.in);
    }
    SECTION("mlp") {
        check_derivatives(layer_behind<T>(moe::mlp_gate<T>{{.features = 6, .hidden = 4, .experts = 8, .bias = true}}),
                          given.in);
    }
    SECTION("mlp with GELU") {
        check_derivatives(layer_behind<T>(moe::mlp_gate<T, moe::gelu>{{.features = 6, .hidden = 4, .experts = 8}}),
                          given.in);
    }
    SECTION("label_table") { check_derivatives(layer_behind<T>(some_label_gate<T>()), given.in); }
    SECTION("features_through") { check_derivatives(layer_behind<T>(nested_gate<T>()), given.in); }
}

TEMPLATE_LIST_TEST_CASE("layers behind gates keep the laws of layers, with features other than x", "", every_backend) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    const gate_batch<T> given;
    // The law that spoils a token spoils x: the gate sees other features and routes as before.
    SECTION("linear, upcast") {
        check_laws<B>(layer_behind<T>(moe::linear_gate<T, moe::gate_math::upcast>{{.features = 6, .experts = 8}}),
                      given.in);
    }
    SECTION("cosine") {
        check_laws<B>(layer_behind<T>(moe::cosine_gate<T>{{.features = 6, .experts = 8, .projection = 4}}), given.in);
    }
    SECTION("mlp") {
        check_laws<B>(layer_behind<T>(moe::mlp_gate<T>{{.features = 6, .hidden = 4, .experts = 8, .bias = true}}),
                      given.in);
    }
    SECTION("label_table") { check_laws<B>(layer_behind<T>(some_label_gate<T>()), given.in); }
    SECTION("features_through") { check_laws<B>(layer_behind<T>(nested_gate<T>()), given.in); }
}

TEMPLATE_LIST_TEST_CASE("NaN in the features of one token stays in its logits", "", every_backend) {
    using T = typename TestType::scalar;
    auto x = moe::testing::random_matrix<T>(4, 6, 66);
    const auto check = [&](const auto& gate) {
        x(1, 2) = T(0.5);
        const auto clean = gate_logits<TestType>(gate, x);
        x(1, 2) = std::numeric_limits<T>::quiet_NaN();
        const auto spoiled = gate_logits<TestType>(gate, x);
        for (const moe::index_t t : {0, 2, 3}) {
            for (moe::index_t e = 0; e < 8; ++e) CHECK(spoiled(t, e) == clean(t, e));
        }
        CHECK(std::isnan(spoiled(1, 0)));
    };
    check(moe::linear_gate<T, moe::gate_math::upcast>{{.features = 6, .experts = 8}});
    check(moe::cosine_gate<T>{{.features = 6, .experts = 8, .projection = 4}});
    check(moe::mlp_gate<T>{{.features = 6, .hidden = 4, .experts = 8}});
    check(moe::features_through{moe::rms_normalize<T>{}, moe::linear_gate<T>{{.features = 6, .experts = 8}}});
}

TEST_CASE("gates without tokens give nothing and keep gradients at 0") {
    const moe::matrix<float> none(0, 6);
    moe::batch<float> in;
    in.x = none;
    const auto check = [&](const auto& gate) {
        const moe::layer layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}},
                               moe::swiglu_bank<float>{{.features = 6, .hidden = 3, .experts = 8}}};
        moe::cpu backend;
        auto result = moe::testing::train_once(backend, layer, in);
        moe::visit_parameters(
            [&](const moe::parameter_name&, const auto&, auto& gradient) {
                for (const float g : moe::flat(gradient)) CHECK(g == 0.0f);
            },
            layer, result.gradient);
    };
    check(moe::cosine_gate<float>{{.features = 6, .experts = 8, .projection = 4}});
    check(moe::mlp_gate<float>{{.features = 6, .hidden = 4, .experts = 8, .bias = true}});
}

TEST_CASE("gates refuse options out of range") {
    const auto value = [](const auto& f) { return thrown<moe::value_error>(f); };
    CHECK(value([] { moe::cosine_gate<float>{{.features = 0, .experts = 8}}; }) ==
          "moe: cosine_gate.features: wanted at least 1, got 0");
    CHECK(value([] { moe::cosine_gate<float>{{.features = 6, .experts = 8, .projection = -1}}; }) ==
          "moe: cosine_gate.projection: wanted at least 0, got -1");
    CHECK(value([] {
              moe::router{moe::cosine_gate<float>{{.features = 6, .experts = 8, .temperature = 0}}, moe::top_k{.k = 1}};
          }) == "moe: cosine_gate.temperature: wanted a positive finite number, got 0.000000");
    CHECK(value([] {
              moe::router{moe::cosine_gate<float>{{.features = 6, .experts = 8, .epsilon = not_a_number}},
                          moe::top_k{.k = 1}};
          }) != "");
    CHECK(value([] { moe::mlp_gate<float>{{.features = 6, .experts = 8}}; }) ==
          "moe: mlp_gate.hidden: wanted at least 1, got 0");
    CHECK(value([] { moe::product_keys_gate<float>{{.features = 6, .experts = 8}}; }) ==
          "moe: product_keys_gate.experts: wanted a square number, got 8");
    CHECK(value([] { moe::product_keys_gate<float>{{.features = 5, .experts = 9}}; }) ==
          "moe: product_keys_gate.features: wanted an even width, got 5");
    CHECK(value([] { moe::product_keys_gate<float>{{.features = 5, .experts = 9, .query = 3}}; }) ==
          "moe: product_keys_gate.query: wanted an even width, got 3");
    CHECK(value([] { moe::label_table_gate<float>{{.features = 6, .labels = 0, .experts = 9}}; }) ==
          "moe: label_table_gate.labels: wanted at least 1, got 0");
    CHECK(value([] {
              moe::router{
                  moe::features_through{moe::temperature{-1}, moe::linear_gate<float>{{.features = 6, .experts = 8}}},
                  moe::top_k{.k = 1}};
          }) == "moe: temperature.value: wanted a positive finite number, got -1.000000");
    CHECK(thrown<moe::shape_error>([] {
              moe::router{moe::features_through{moe::rms_normalize<float>{{.columns = 8}},
                                                moe::linear_gate<float>{{.features = 6, .experts = 8}}},
                          moe::top_k{.k = 1}};
          }) == "moe: rms_normalize.gain: wanted [1, 6], got [1, 8]");
    const moe::router router{some_label_gate<float>(), moe::top_k{.k = 1}};
    const moe::matrix<float> x(2, 6);
    const std::vector<moe::index_t> label{0, 3};
    moe::batch<float> in;
    in.x = in.features = x;
    CHECK(value([&] { router.check(in); }).find("batch.label") != std::string::npos);
    in.label = label;
    CHECK(value([&] { router.check(in); }) == "moe: batch.label[1]: wanted 0 to 2, got 3");
}
