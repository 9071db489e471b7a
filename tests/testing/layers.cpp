// Layers keep the laws, on every backend.
#include "testing/every.hpp"

namespace {

const moe::swiglu_bank<double> gated_bank{{.features = 3, .hidden = 2, .experts = 3, .bias = true}};

auto small_layer() { return moe::layer{small_router(), gated_bank, moe::shared{gated_bank}}; }

}  // namespace

TEST_CASE("a layer keeps the laws on every backend") {
    moe::cpu one, two{{.threads = 2}};
    CHECK(laws(small_layer(), {}, one, two) == no_violations);
}

TEST_CASE("a residual layer keeps the laws") { CHECK(laws(moe::residual{small_layer()}) == no_violations); }

TEST_CASE("an iterated layer keeps the laws") {
    CHECK(laws(moe::iterated{moe::layer{small_router(), gated_bank}, {small_router()}}) == no_violations);
}

TEST_CASE("a layer that drops tokens keeps the laws") {
    CHECK(laws(moe::layer{moe::router{moe::linear_gate<double>{{.features = 3, .experts = 3}}, moe::softmax{},
                                      moe::top_k{.k = 2}, moe::capacity{{.factor = 0.5}}},
                          gated_bank}) == no_violations);
}
