// Whole routers: gate, scores, choice, weights. Names read router/softmax_top_k/f32/A/T:512/threads:2/normal.
// SPDX-License-Identifier: Apache-2.0
//
//   softmax_top_k   linear gate, softmax, top_k, renormalize: Qwen3, OLMoE, Mixtral
//   deepseek_v3     linear gate, sigmoid, selection bias, the best half of the groups, top_k, renormalize, scale
//   expert_choice   linear gate, softmax, expert_choice: experts choose tokens
//   near_best       a selector written outside the library: examples/custom_router
//
// Features and gate weights are random, so routes are near to uniform. The gate's product counts as operations, and its
// weights as bytes: they are cold, as in a model whose layers' gates take turns. Routes and weights are checked against
// the reference backend in double.
#include <cmath>

#include "examples/custom_router/near_best.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/expert_choice.hpp"
#include "support/check.hpp"
#include "support/measure.hpp"

namespace {

using bench::index_t;

template <class T>
struct routed {
    std::vector<index_t> expert;
    moe::matrix<T> weight;

    template <class Router, class B>
    routed(const Router& router, B& b, const moe::matrix<T>& x) {
        moe::arena memory;
        moe::batch<T> in;
        in.x = in.features = x.view();
        const moe::routing<T> s = router.route(b, in, memory);
        expert.assign(s.routes.expert.begin(), s.routes.expert.end());
        weight = moe::matrix<T>(1, static_cast<index_t>(expert.size()));
        std::copy(s.routes.weight.begin(), s.routes.weight.end(), weight.span().begin());
    }
};

// Makes a router of a scalar type: make.template operator()<float>().
template <class Make>
void route(benchmark::State& state, const std::string& name, const bench::layer_shape& shape, index_t tokens,
           index_t threads, const Make& make) {
    const auto router = make.template operator()<float>();
    using Router = std::remove_const_t<decltype(router)>;
    const double bytes = sizeof(float) * static_cast<double>(shape.features) * shape.experts;
    const std::vector<Router> copies(std::size_t(std::max(1.0, std::ceil(bench::cold_bytes() / bytes))), router);
    const auto x = moe::testing::random_matrix<float>(tokens, shape.features, 1);
    moe::matrix<double> wide(tokens, shape.features);
    std::copy(x.span().begin(), x.span().end(), wide.span().begin());
    moe::cpu cpu{{.threads = threads}};
    moe::reference reference;
    const routed<float> got(router, cpu, x);
    const routed<double> wanted(make.template operator()<double>(), reference, wide);
    if (got.expert != wanted.expert) return bench::fail(state, "other routes than the reference");
    if (!(bench::error_of<float, double>(got.weight.view(), wanted.weight.view()) <= bench::f32::tolerated)) {
        return bench::fail(state, "other weights than the reference");
    }
    moe::arena memory;
    moe::batch<float> in;
    in.x = in.features = x.view();
    const double operations = 2.0 * tokens * shape.features * shape.experts;
    bench::measure<bench::f32>(state, name, {threads, tokens, operations}, [&](index_t run) {
        memory.reset();
        const Router& cold = copies[std::size_t(run) % copies.size()];
        benchmark::DoNotOptimize(cold.route(cpu, in, memory).routes.weight.data());
        return bytes;
    }, [&](auto& counters) {
        counters["scratch_bytes"] = static_cast<double>(cpu.scratch().peak() + memory.peak());
    });
}

template <class Make>
void add_router(const std::string& kind, const Make& make_for) {
    for (const bench::layer_shape& shape : bench::router_shapes()) {
        for (const index_t tokens : bench::token_counts()) {
            for (const index_t threads : bench::options().threads) {
                const std::string name = bench::run_name("router/" + kind, "f32", shape, tokens, threads, "normal");
                bench::add(name, [=](benchmark::State& state) {
                    route(state, name, shape, tokens, threads, make_for(shape));
                });
            }
        }
    }
}

template <class T>
moe::linear_gate<T> gate_of(const bench::layer_shape& s) {
    return {{.features = s.features, .experts = s.experts}};
}

}  // namespace

void bench::register_benchmarks() {
    add_router("softmax_top_k", [](const layer_shape& s) {
        return [s]<class T>() {
            return moe::router{gate_of<T>(s), moe::softmax{}, moe::top_k{.k = s.per_token}, moe::renormalize{}};
        };
    });
    add_router("deepseek_v3", [](const layer_shape& s) {
        const index_t groups = s.experts % 8 == 0 && s.experts >= 32 ? 8 : 1;
        return [s, groups]<class T>() {
            return moe::router{gate_of<T>(s),
                               moe::sigmoid{},
                               moe::selection_bias{s.experts},
                               moe::group_limit{.groups = groups, .keep = (groups + 1) / 2, .best = 2},
                               moe::top_k{.k = s.per_token},
                               moe::renormalize{.epsilon = 1e-20f},
                               moe::scale{2.5f}};
        };
    });
    add_router("expert_choice", [](const layer_shape& s) {
        return [s]<class T>() {
            return moe::router{gate_of<T>(s), moe::softmax{},
                               moe::expert_choice{.capacity_factor = static_cast<double>(s.per_token)}};
        };
    });
    add_router("near_best", [](const layer_shape& s) {
        return [s]<class T>() { return moe::router{gate_of<T>(s), near_best{.margin = 0.5, .k = s.per_token}}; };
    });
}
