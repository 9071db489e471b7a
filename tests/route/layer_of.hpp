// tests/route: a small layer around the steps behind the selector, for laws and gradients
#pragma once

#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

// Six experts; k of them per token; the gate's scores are a softmax.
template <class T, class... Steps>
auto layer_of(moe::index_t k, Steps... steps) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 3}}, moe::softmax{},
                                  moe::top_k{.k = k}, steps...},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
}

// Every derivative of the layer against central differences.
template <class B, class Layer>
void check_layer_gradients(B& backend, Layer layer, const moe::batch<double>& in) {
    const auto report = moe::testing::check_gradients(backend, layer, in);
    INFO(report.where);
    CHECK(report.worst <= difference_tolerance);
    CHECK(report.nonzero);
}

// The laws that hold for every layer whose choice for a token depends on this token alone.
template <class B, class Layer, class T>
void check_layer_laws(B& backend, const Layer& layer, const moe::batch<T>& in) {
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    if (!moe::traits_of(layer).batch_coupled) {
        CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
        CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
    }
}

// Laws on this backend and scalar, gradients in double.
template <class On, class F>
void check_steps(const F& layer_in, bool mask = true) {
    using B = typename On::backend;
    using T = typename On::scalar;
    const std::uint8_t live[7] = {1, 1, 0, 1, 1, 1, 0};
    B backend;
    const auto x = moe::testing::random_matrix<T>(7, 5, 4);
    moe::batch<T> in;
    in.x = x;
    check_layer_laws(backend, layer_in.template operator()<T>(), in);
    if (mask) in.mask = live;
    check_layer_laws(backend, layer_in.template operator()<T>(), in);
    const auto x64 = moe::testing::random_matrix<double>(7, 5, 4);
    moe::batch<double> in64;
    in64.x = x64;
    if (mask) in64.mask = live;
    check_layer_gradients(backend, layer_in.template operator()<double>(), in64);
}
