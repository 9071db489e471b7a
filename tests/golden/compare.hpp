// tests/golden: a layer built from parts, loaded with the weights of a golden, against the golden's results
// SPDX-License-Identifier: Apache-2.0
//
// Weights are found by the path under which the layer visits its parameters. Every parameter of the layer must be bound
// to a tensor of the golden, and every gradient of the golden must be compared: what is left over fails.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "golden.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace golden {

inline const std::string data = MOE_TEST_SOURCE_DIR "/tests/golden";

inline moe::index_t index(std::size_t n) { return static_cast<moe::index_t>(n); }
inline moe::index_t index(const file& g, const char* option) { return static_cast<moe::index_t>(g.number(option)); }

/// A parameter path, or its end behind a dot, and the golden's tensor. The longest path that fits counts.
struct binding {
    const char* path;
    const char* name;
};

/// The parameters of a linear gate without bias and of a gated bank without biases; plain banks have no gate.
inline const std::vector<binding> gated = {
    {"router.0.weight", "gate"}, {"experts.gate", "w_gate"}, {"experts.up", "w_up"}, {"experts.down", "w_down"}};

/// `first` with more bindings behind it.
inline std::vector<binding> with(std::vector<binding> first, const std::vector<binding>& more) {
    first.insert(first.end(), more.begin(), more.end());
    return first;
}

/// The same with a gated shared expert.
inline const std::vector<binding> shared =
    with(gated, {{"shared.gate", "shared_w_gate"}, {"shared.up", "shared_w_up"}, {"shared.down", "shared_w_down"}});

/// Biases of gate and bank.
inline const std::vector<binding> biases = {{"router.0.bias", "gate_bias"},
                                            {"experts.gate_bias", "b_gate"},
                                            {"experts.up_bias", "b_up"},
                                            {"experts.down_bias", "b_down"}};

template <class T>
moe::linear_gate<T> gate_of(const file& g) {
    return {{.features = index(g, "features"), .experts = index(g, "experts"), .bias = g.has("gate_bias")}};
}

inline moe::bank_options bank_of(const file& g) {
    return {.features = index(g, "features"),
            .hidden = index(g, "hidden"),
            .experts = index(g, "experts"),
            .bias = g.has("b_down")};
}

inline moe::bank_options shared_bank_of(const file& g) {
    return {.features = index(g, "features"), .hidden = index(g, "shared_hidden"), .experts = 1};
}

template <class T>
moe::shared<moe::swiglu_bank<T>> shared_of(const file& g) {
    return moe::shared{moe::swiglu_bank<T>{shared_bank_of(g)}};
}

void require_equal(std::size_t got, std::size_t want);

// Catch2's assertions are slow to compile: templates call plain functions, or return values for one.

template <class T>
void set(moe::panels<T>& to, const tensor& from) {
    const auto k = static_cast<std::size_t>(to.inputs());
    const auto n = static_cast<std::size_t>(to.outputs()) * k;
    require_equal(from.values.size(), static_cast<std::size_t>(to.groups()) * n);
    for (moe::index_t e = 0; e < to.groups(); ++e) {
        to.assign(e, moe::matrix_view<const double>(from.values.data() + static_cast<std::size_t>(e) * n, to.outputs(),
                                                    to.inputs()));
    }
}
template <class Array>
void set(Array& to, const tensor& from) {
    const auto elements = moe::flat(to);
    require_equal(from.values.size(), elements.size());
    for (std::size_t i = 0; i < elements.size(); ++i) {
        elements[i] = static_cast<std::remove_reference_t<decltype(elements[i])>>(from.values[i]);
    }
}

template <class T>
std::vector<double> get(const moe::panels<T>& from) {
    const auto n = static_cast<std::size_t>(from.outputs()) * static_cast<std::size_t>(from.inputs());
    std::vector<double> result(static_cast<std::size_t>(from.groups()) * n);
    for (moe::index_t e = 0; e < from.groups(); ++e) {
        from.read(e, moe::matrix_view<double>(result.data() + static_cast<std::size_t>(e) * n, from.outputs(),
                                              from.inputs()));
    }
    return result;
}
template <class Array>
std::vector<double> get(const Array& from) {
    const auto elements = moe::flat(from);
    return {elements.begin(), elements.end()};
}

/// The golden's name of a parameter; throws if the parameter is not bound to one.
std::string bound_name(const std::vector<binding>& bindings, const std::string& path);

template <class F>
struct bound_visitor {
    const std::vector<binding>& bindings;
    F f;

    template <class P, class... Others>
    void operator()(const moe::parameter_name& name, P& first, Others&... others) const {
        if (!moe::flat(first).empty()) f(bound_name(bindings, name.text()), first, others...);
    }
};

template <class F>
bound_visitor(const std::vector<binding>&, F) -> bound_visitor<F>;

/// The rows of `first`, then those of `second`.
tensor stacked(tensor first, const tensor& second);

/// Sets every parameter and every saved state (a selection bias) of the layer.
template <class Layer>
void load(Layer& layer, const file& g, const std::vector<binding>& bindings) {
    const bound_visitor visitor{bindings, [&](const std::string& name, auto& parameter) { set(parameter, g[name]); }};
    moe::visit_parameters(visitor, layer);
    if constexpr (moe::has_state<Layer>) {
        Layer::state(moe::named_visitor<const decltype(visitor)>{visitor, {}}, layer);
    }
}

template <class T>
std::vector<double> values(moe::matrix_view<T> m) {
    std::vector<double> result;
    for (moe::index_t i = 0; i < m.rows; ++i) {
        result.insert(result.end(), m.row(i), m.row(i) + m.cols);
    }
    return result;
}

template <class T>
moe::matrix<T> matrix_of(const tensor& t) {
    moe::matrix<T> m(index(t.rows()), index(t.columns()));
    set(m, t);
    return m;
}

/// What a run gives, by the golden's names.
struct outcome {
    bool taped_equals_inference = false;
    std::map<std::string, std::vector<double>> results;
};

/// What differs from layer to layer: names of the golden where they are not the usual ones, and parts of the batch.
template <class T>
struct extras {
    moe::batch<T> in = {};
    const char* logits = "logits";      // nullptr: the golden has none that the layer has
    const char* scores = nullptr;       // a name: compare the scores
    std::vector<std::string> left_out;  // gradients that the layer does not have
};

template <class Backend, class Layer>
outcome run(Layer& layer, const file& g, const std::vector<binding>& bindings,
            const extras<typename Layer::scalar>& with) {
    using T = typename Layer::scalar;
    load(layer, g, bindings);
    Backend backend;
    const auto x = matrix_of<T>(g["x"]), dy = matrix_of<T>(g["dy"]);
    moe::matrix<T> y(x.rows(), dy.cols()), taped(x.rows(), dy.cols()), dx(x.rows(), x.cols());
    for (auto* poisoned : {&y, &taped, &dx}) {
        std::fill(poisoned->span().begin(), poisoned->span().end(), std::numeric_limits<T>::quiet_NaN());
    }
    moe::batch<T> in = with.in;
    in.x = x;

    outcome o;
    layer.forward(backend, in, y.view());
    moe::tape<T> tape;
    layer.forward(backend, in, taped.view(), tape);
    o.taped_equals_inference = get(taped) == get(y);
    o.results["y"] = get(y);
    const moe::routing<T>& s = tape.routing();
    o.results["expert"] = {s.routes.expert.begin(), s.routes.expert.end()};
    o.results["weight"] = {s.routes.weight.begin(), s.routes.weight.end()};
    if (with.scores != nullptr) o.results[with.scores] = values(s.scores);
    if (with.logits != nullptr) o.results[with.logits] = values(s.logits);

    auto gradient = layer.make_gradient();
    layer.backward(backend, dy.view(), tape, dx.view(), gradient);
    o.results["d_x"] = get(dx);
    if (with.in.features.data != nullptr) o.results["d_router_x"] = values(tape.d.features);
    if (with.logits != nullptr && g.has(std::string("d_") + with.logits)) {
        o.results[std::string("d_") + with.logits] = values(tape.d.logits);
    }
    moe::visit_parameters(bound_visitor{bindings, [&](const std::string& name, const auto&,
                                                      const auto& d) { o.results["d_" + name] = get(d); }},
                          layer, gradient);
    return o;
}

/// Every result against the golden; every gradient of the golden must be among the results or left out by name.
void check(const file& g, const outcome& o, double tolerance, const std::vector<std::string>& left_out);

/// Runs the layer forward and backward and compares routes, weights, output and every gradient with the golden.
template <class Backend, class Layer>
void compare(Layer& layer, const file& g, const std::vector<binding>& bindings,
             const extras<typename Layer::scalar>& with = {}) {
    using T = typename Layer::scalar;
    check(g, run<Backend>(layer, g, bindings, with), tolerance<T>::value, with.left_out);
}

}  // namespace golden
