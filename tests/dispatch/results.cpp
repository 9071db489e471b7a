// tests/dispatch: prints a hash of what every verb computes, so that programs for one instruction set can be compared
// SPDX-License-Identifier: Apache-2.0
//
//     results                        moe::cpu, as this program is compiled
//     results [LEVEL [level-only]]   with MOE_TEST_DISPATCHED: moe::dispatched_cpu, the level that was asked for or the
//                                    best; level-only: computes nothing
#include <cstdio>
#include <exception>
#include <vector>

#include "moe/core/build_info.hpp"
#include "moe/experts/clamped_activation.hpp"

#ifdef MOE_TEST_DISPATCHED
#include "moe/backend/dispatch.hpp"
#else
#include "moe/backend/cpu.hpp"
#endif

namespace {

using moe::index_t;

#ifdef MOE_TEST_DISPATCHED
using backend = moe::dispatched_cpu;
backend make(const char* level) {
    backend b{{.threads = 2}, level};
    std::printf("level %s\nisa %s, bfloat16 %s, codes %s\n", b.level(), b.isa(), b.bf16(), b.codes());
    return b;
}
#else
using backend = moe::cpu;
backend make(const char*) {
    constexpr moe::build_information built = moe::build_info();
    std::printf("isa %s, bfloat16 %s, codes %s\n", built.isa, built.bf16, built.codes);
    return backend{{.threads = 2}};
}
#endif

using verbs = moe::kernels_of<backend>;

void print(const char* kind, const char* verb, const void* data, std::size_t bytes) {
    std::uint64_t hash = 14695981039346656037u;
    for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
    std::printf("%s %s %016llx\n", kind, verb, static_cast<unsigned long long>(hash));
}
template <class M>
void print(const char* kind, const char* verb, const M& m) {
    print(kind, verb, m.span().data(), m.span().size_bytes());
}

// Numbers whose products and sums are rounded; quick to make, also under an emulator.
template <class T>
moe::matrix<T> scattered(index_t rows, index_t cols, index_t seed) {
    moe::matrix<T> m(rows, cols);
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < cols; ++j) m(i, j) = T((i * 7919 + j * 1511 + seed * 313) % 1009 - 504) / T(301);
    }
    return m;
}

template <class W>
W scattered_weights(index_t groups, index_t outputs, index_t inputs, index_t seed) {
    W w(groups, outputs, inputs);
    for (index_t g = 0; g < groups; ++g) {
        w.assign(g, scattered<float>(outputs, inputs, seed + 10 * g).view());
    }
    return w;
}

// A group without rows, one of a few and some of many tiles; sums longer than one chain; columns that fill no vector.
struct problem {
    static constexpr index_t tokens = 14, experts = 5, outputs = 70, inputs = 261;
    std::vector<index_t> offset{0}, expert;

    problem() {
        for (index_t t = 0; t < tokens; ++t) {
            expert.insert(expert.end(), {0, t % 7 == 0 ? 3 : t < 4 ? 2 : 4});
            offset.push_back(static_cast<index_t>(expert.size()));
        }
    }
};

template <class T, class W>
void products(backend& b, const char* kind, const moe::plan_view& plan) {
    using p = problem;
    const moe::row_groups by_token{plan.offset, plan.token}, by_row{plan.offset, {}};
    const auto w = scattered_weights<W>(p::experts, p::outputs, p::inputs, 1);
    const auto up = scattered_weights<W>(p::experts, p::outputs, p::inputs, 2);
    const auto x = scattered<T>(p::tokens, p::inputs, 3), bias = scattered<T>(p::experts, p::outputs, 4);
    moe::matrix<T> h(plan.rows(), p::outputs), z(plan.rows(), p::outputs), z_up(plan.rows(), p::outputs);
    moe::matrix<T> dx = scattered<T>(plan.rows(), p::inputs, 5);

    verbs::grouped_linear(b, by_token, x.view(), w, {}, h.view());
    print(kind, "linear", h);
    verbs::grouped_linear(b, by_token, x.view(), w, bias.view(), h.view());
    print(kind, "linear_bias", h);
    verbs::grouped_input_gradient(b, by_row, h.view(), w, dx.view(), true);
    print(kind, "input_gradient_added", dx);
    verbs::grouped_input_gradient(b, by_row, h.view(), w, dx.view(), false);
    print(kind, "input_gradient", dx);

    verbs::grouped_activation(b, by_token, x.view(), w, bias.view(), moe::silu{}, h.view(), z.view());
    print(kind, "silu", h);
    print(kind, "argument", z);
    verbs::grouped_gated_activation(b, by_token, x.view(), w, up, bias.view(), {}, moe::gated<moe::silu>{}, h.view(),
                                    z.view(), z_up.view());
    print(kind, "swiglu", h);
    print(kind, "gate", z);
    print(kind, "up", z_up);
}

// Every activation by its number.
void activations(backend& b, const moe::plan_view& plan) {
    using p = problem;
    using W = moe::panels<float>;
    const moe::row_groups by_token{plan.offset, plan.token};
    const auto w = scattered_weights<W>(p::experts, p::outputs, p::inputs, 1);
    const auto up = scattered_weights<W>(p::experts, p::outputs, p::inputs, 2);
    const auto x = scattered<float>(p::tokens, p::inputs, 3);
    const auto bias = scattered<float>(p::experts, p::outputs, 4);
    moe::matrix<float> h(plan.rows(), p::outputs);
    const auto plain = [&](const char* verb, const auto& act) {
        verbs::grouped_activation(b, by_token, x.view(), w, bias.view(), act, h.view(), {});
        print("float", verb, h);
    };
    plain("identity", moe::identity_activation{});
    plain("relu", moe::relu{});
    plain("relu_squared", moe::relu_squared{});
    plain("gelu", moe::gelu{});
    plain("gelu_tanh", moe::gelu_tanh{});

    const auto gated = [&](const char* verb, const auto& act) {
        verbs::grouped_gated_activation(b, by_token, x.view(), w, up, {}, bias.view(), act, h.view(), {}, {});
        print("float", verb, h);
    };
    gated("gated_identity", moe::gated<moe::identity_activation>{});
    gated("reglu", moe::gated<moe::relu>{});
    gated("gated_relu_squared", moe::gated<moe::relu_squared>{});
    gated("geglu", moe::gated<moe::gelu>{});
    gated("geglu_tanh", moe::gated<moe::gelu_tanh>{});
    gated("scaled_swiglu", moe::scaled_swiglu({.alpha = 1.702, .limit = 7}));
    gated("clamp_before_swiglu", moe::clamp_before_swiglu({.limit = 5}));
    gated("clamp_after_swiglu", moe::clamp_after_swiglu({.limit = 6}));
    gated("situ", moe::situ({.beta = 3, .lambda = 4}));
}

template <class T>
void sums(backend& b, const char* kind, const moe::plan_view& plan) {
    using p = problem;
    const moe::row_groups by_token{plan.offset, plan.token};
    const auto rows = scattered<T>(plan.rows(), p::outputs, 6), x = scattered<T>(p::tokens, p::inputs, 7);
    const auto weight = scattered<T>(1, 2 * p::tokens, 8);
    moe::panels<T> dw(p::experts, p::outputs, p::inputs);
    verbs::grouped_weight_gradient(b, by_token, rows.view(), x.view(), dw);
    verbs::grouped_weight_gradient(b, by_token, rows.view(), x.view(), dw);
    print(kind, "weight_gradient", dw);
    moe::matrix<T> y(p::tokens, p::outputs);
    verbs::weighted_sum(b, plan, rows.view(), std::span<const T>(weight.span()), y.view(), false);
    print(kind, "weighted_sum", y);
    verbs::weighted_sum(b, plan, rows.view(), {}, y.view(), true);
    print(kind, "weighted_sum_added", y);
}

void run(const char* level, bool level_only) {
    backend b = make(level);
    if (level_only) return;
    const problem p;
    moe::arena memory;
    const moe::plan_view plan = verbs::build_plan(b, p.tokens, p.experts, p.offset, p.expert, memory);
    products<float, moe::panels<float>>(b, "float", plan);
    products<double, moe::panels<double>>(b, "double", plan);
    products<float, moe::bf16_panels>(b, "bf16", plan);
    products<float, moe::f16_panels>(b, "f16", plan);
    products<float, moe::int8_panels<32>>(b, "int8", plan);
    products<float, moe::int4_panels<32>>(b, "int4", plan);
    products<float, moe::int4_zero_panels<32>>(b, "int4_zero", plan);
    activations(b, plan);
    sums<float>(b, "float", plan);
    sums<double>(b, "double", plan);
}

}  // namespace

int main(int count, char** arguments) {
    try {
        run(count > 1 ? arguments[1] : "", count > 2);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
