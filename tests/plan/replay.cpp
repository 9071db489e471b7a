#include "moe/plan/replay.hpp"

#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/capacity_pass.hpp"
#include "moe/route/capacity_reroute.hpp"
#include "moe/route/null_experts.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/expert_choice.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/layer_laws.hpp"
#include "moe/testing/plan_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

using ids = std::vector<moe::index_t>;

template <class T, class Selector>
auto layer_with(const Selector& selector) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 6, .seed = 9}}, moe::softmax{}, selector,
                                  moe::null_experts{.first = 5}, moe::renormalize{}},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 6}}};
}

template <class T>
struct sample {
    moe::matrix<T> x = moe::testing::random_matrix<T>(9, 5, 21);
    std::vector<std::uint8_t> mask = {1, 1, 1, 0, 1, 1, 0, 1, 1};
    moe::batch<T> in;
    sample() {
        in.x = x;
        in.mask = mask;
    }
};

template <class T>
struct trained {
    moe::matrix<T> y, dx;
    std::vector<T> gradient;
    friend bool operator==(const trained& a, const trained& b) {
        return moe::testing::same_bits(a.y, b.y) && moe::testing::same_bits(a.dx, b.dx) && a.gradient == b.gradient;
    }
};

// The output, dx and all gradients of one forward and backward; `record` sees the tape in between.
template <class B, class Layer, class T, class F>
trained<T> train(B& backend, const Layer& layer, const moe::batch<T>& in, const F& record) {
    trained<T> r{moe::matrix<T>(in.tokens(), 5), moe::matrix<T>(in.tokens(), 5), {}};
    const auto dy = moe::testing::random_matrix<T>(in.tokens(), 5, 22);
    auto g = layer.make_gradient();
    moe::tape<T> tape;
    layer.forward(backend, in, r.y.view(), tape);
    record(tape);
    layer.backward(backend, dy.view(), tape, r.dx.view(), g);
    moe::visit_parameters(
        [&](const moe::parameter_name&, const auto&, auto& values) {
            for (const T v : moe::flat(values)) r.gradient.push_back(v);
        },
        layer, g);
    return r;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a replayed choice gives the bits of the original, forward and backward", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    sample<T> s;
    const auto check = [&](const auto& layer) {
        moe::recorded_choice choice;
        moe::recorded_choice again;
        const auto original =
            train(backend, layer, s.in, [&](auto& tape) { choice = moe::recorded_choice(tape.routing().selected); });
        CHECK(choice.tokens() == 9);
        moe::batch<T> in = s.in;
        choice.replay_in(in);
        const auto replayed =
            train(backend, layer, in, [&](auto& tape) { again = moe::recorded_choice(tape.routing().selected); });
        CHECK(original == replayed);
        CHECK(choice == again);
        CHECK(moe::testing::same_bits(moe::testing::infer(backend, layer, in), original.y));
    };
    check(layer_with<T>(moe::top_k{.k = 3}));
    check(layer_with<T>(moe::expert_choice{.capacity_factor = 2}));
    // Steps that drop, move or append routes run again on what the selector chose.
    const moe::linear_gate<T> gate({.features = 5, .experts = 6, .seed = 9});
    const moe::swiglu_bank<T> experts({.features = 5, .hidden = 4, .experts = 6});
    check(moe::layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 3}, moe::capacity_reroute{{.count = 3}}}, experts});
    check(moe::layer{moe::router{gate, moe::softmax{}, moe::top_k{.k = 3}, moe::capacity_pass{{.count = 2}}},
                     moe::banks{experts, moe::identity_bank<T>{{.features = 5, .experts = 1}}}});
}

TEMPLATE_LIST_TEST_CASE("a choice recorded from the plan gives the same routes", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    sample<T> s;
    const auto layer = layer_with<T>(moe::top_k{.k = 3});
    moe::recorded_choice from_plan, from_routes;
    const auto original = train(backend, layer, s.in, [&](auto& tape) {
        from_plan = moe::recorded_choice(tape.plan());
        from_routes = moe::recorded_choice(tape.routing().routes);
    });
    for (moe::index_t t = 0; t < 9; ++t) {
        const std::size_t i = std::size_t(t);
        ids live;
        for (moe::index_t j = from_routes.offset()[i]; j < from_routes.offset()[i + 1]; ++j) {
            if (from_routes.expert()[std::size_t(j)] >= 0) live.push_back(from_routes.expert()[std::size_t(j)]);
        }
        std::sort(live.begin(), live.end());
        const auto planned = from_plan.expert().subspan(std::size_t(from_plan.offset()[i]),
                                                        std::size_t(from_plan.offset()[i + 1] - from_plan.offset()[i]));
        CHECK(ids(planned.begin(), planned.end()) == live);
    }
    moe::batch<T> in = s.in;
    from_plan.replay_in(in);
    const auto replayed = train(backend, layer, in, [](auto&) {});
    CHECK(relative_error(replayed.y.view(), original.y.view()) <= tolerance<T>::value);
    CHECK(relative_error(replayed.dx.view(), original.dx.view()) <= tolerance<T>::gradient);
}

TEST_CASE("a replay gathers its weights from the scores of the call, not of the recording") {
    moe::reference backend;
    sample<double> s;
    const moe::layer layer{moe::router{moe::linear_gate<double>{{.features = 5, .experts = 6, .seed = 9}}, moe::softmax{},
                                       moe::top_k{.k = 2}},
                           moe::swiglu_bank<double>{{.features = 5, .hidden = 4, .experts = 6}}};
    moe::arena memory;
    const moe::recorded_choice choice(layer.route(backend, s.in, memory).routes);
    const auto other = moe::testing::random_matrix<double>(9, 5, 23);
    moe::batch<double> in = s.in;
    in.x = other;
    choice.replay_in(in);
    const auto routing = layer.route(backend, in, memory);
    CHECK(moe::recorded_choice(routing.routes) == choice);
    for (moe::index_t t = 0; t < 9; ++t) {
        for (moe::index_t i = routing.routes.begin(t); i < routing.routes.end(t); ++i) {
            const moe::index_t e = routing.routes.expert[std::size_t(i)];
            CHECK(routing.routes.weight[std::size_t(i)] == (e < 0 ? 0.0 : routing.scores(t, e)));
        }
    }
}

TEST_CASE("a recorded choice outlives what it was recorded from") {
    moe::recorded_choice choice;
    CHECK(choice.tokens() == 0);
    {
        const ids offset = {0, 2, 3};
        const ids expert = {4, 1, -1};
        const std::vector<float> weight = {1, 1, 0};
        choice = moe::recorded_choice(moe::routes<float>{offset, expert, weight, 0});
    }
    CHECK(ids(choice.expert().begin(), choice.expert().end()) == ids{4, 1, -1});
    CHECK(ids(choice.offset().begin(), choice.offset().end()) == ids{0, 2, 3});
}

TEMPLATE_LIST_TEST_CASE("plans keep the laws of plans, from empty routes to all in one expert", "", every_backend) {
    typename TestType::backend backend;
    const auto check = [&](const ids& offset, const ids& expert, moe::index_t experts) {
        moe::arena memory;
        memory.take<char>(100000);
        memory.reset();
        memory.poison(0xCD);
        const auto plan = moe::kernels_of<typename TestType::backend>::build_plan(
            backend, moe::index_t(offset.size()) - 1, experts, offset, expert, memory);
        CHECK(moe::testing::plan_laws(plan, offset, expert) == moe::testing::no_violations);
        CHECK(plan.experts() == experts);
    };
    check({0}, {}, 3);
    check({0, 0, 0}, {}, 1);
    check({0, 2, 4}, {-1, -1, -1, -1}, 3);
    check({0, 1, 2, 3}, {2, 2, 2}, 5);
    check({0, 3, 3, 5}, {2, -1, 0, 1, 2}, 3);
    const moe::random_stream random(1, moe::stream_id("plan_laws"));
    ids offset = {0};
    ids expert;
    for (moe::index_t t = 0; t < 200; ++t) {
        for (moe::index_t e = 0; e < 7; ++e) {
            if (random.uniform(std::uint64_t(t), std::uint32_t(e)) < 0.4) expert.push_back(e);
            else if (random.uniform(std::uint64_t(t), std::uint32_t(e + 50)) < 0.2) expert.push_back(-1);
        }
        std::reverse(expert.begin() + offset.back(), expert.end());
        offset.push_back(moe::index_t(expert.size()));
    }
    check(offset, expert, 7);
}

TEST_CASE("the laws of plans find a broken plan") {
    moe::reference backend;
    moe::arena memory;
    const ids offset = {0, 2, 3};
    const ids expert = {1, 0, 1};
    const auto plan = moe::kernels_of<moe::reference>::build_plan(backend, 2, 2, offset, expert, memory);
    CHECK(moe::testing::plan_laws(plan, offset, ids{1, -1, 1}).breaks("conservation"));
    CHECK(moe::testing::plan_laws(plan, offset, ids{0, 1, 1}).breaks("conservation"));
    auto broken = plan;
    const ids wrong = {0, 1, 1};
    broken.token = wrong;
    CHECK(moe::testing::plan_laws(broken, offset, expert).breaks("conservation"));
}
