// The backend that takes its kernels from a level of the instruction set, chosen when the program runs.
#include "moe/backend/dispatch.hpp"

#include "backend/caller_pool.hpp"
#include "backend/problem.hpp"
#include "layer/counting_new.hpp"
#include "moe/moe.hpp"
#include "moe/testing/backend_laws.hpp"
#include "moe/testing/random.hpp"

using namespace test;

namespace {

using on_level = moe::kernels<moe::dispatch_tag>;

std::vector<std::string> running_levels() {
    std::vector<std::string> names;
    for (const moe::dispatch_level& l : moe::dispatch_levels()) {
        if (l.runs) names.emplace_back(l.name);
    }
    return names;
}

// An activation of a caller's, that no level knows.
struct cubed {
    template <class M, class V>
    V value(V z) const {
        return z * z * z;
    }
    template <class M, class V>
    V value(V g, V u) const {
        return g * g * u;
    }
};

struct environment {
    explicit environment(const char* level) { setenv("MOE_DISPATCH_LEVEL", level, 1); }
    ~environment() { unsetenv("MOE_DISPATCH_LEVEL"); }
};

auto swiglu_layer() {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 19, .experts = 6}}, moe::softmax{},
                                  moe::top_k{.k = 2}, moe::renormalize{}},
                      moe::swiglu_bank<float>{{.features = 19, .hidden = 70, .experts = 6}}};
}

template <class B>
std::vector<float> train_once(B& b, index_t tokens = 37) {
    const auto layer = swiglu_layer();
    const auto x = moe::testing::random_matrix<float>(tokens, 19, 1);
    const auto dy = moe::testing::random_matrix<float>(tokens, 19, 2);
    moe::matrix<float> y(tokens, 19), dx(tokens, 19);
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    auto gradient = moe::make_gradient(layer);
    layer.forward(b, in, y.view(), tape);
    layer.backward(b, dy.view(), tape, dx.view(), gradient);
    std::vector<float> all(y.span().begin(), y.span().end());
    all.insert(all.end(), dx.span().begin(), dx.span().end());
    moe::visit_parameters(
        [&](const moe::parameter_name&, auto& tensor) {
            const auto values = moe::flat(tensor);
            for (std::size_t i = 0; i < values.size(); ++i) all.push_back(static_cast<float>(values[i]));
        },
        gradient);
    return all;
}

}  // namespace

TEST_CASE("every level that the processor has keeps the laws of backends") {
    REQUIRE(running_levels().size() >= 1);
    for (const std::string& level : running_levels()) {
        INFO(level);
        moe::dispatched_cpu b{{.threads = 2}, level};
        CHECK(b.level() == level);
        CHECK(moe::testing::backend_laws<float>(b) == moe::testing::no_violations);
        CHECK(moe::testing::backend_laws<double>(b) == moe::testing::no_violations);
    }
}

TEST_CASE("a layer trains on every level as on moe::cpu, with the same bits for every number of threads") {
    moe::cpu cpu;
    const std::vector<float> expected = train_once(cpu, 300);
    for (const std::string& level : running_levels()) {
        INFO(level);
        moe::dispatched_cpu one{{}, level}, three{{.threads = 3}, level};
        threads_for_each_call at_once;
        const auto inside = [&] { return at_once.inside(); };
        moe::dispatched_cpu on_callers(moe::on_pool{3, at_once, inside}, level);
        const std::vector<float> got = train_once(one, 300);
        REQUIRE(got.size() == expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
            if (!(std::abs(got[i] - expected[i]) <= 1e-4f * (1 + std::abs(expected[i])))) FAIL_CHECK("value " << i);
        }
        CHECK(train_once(three, 300) == got);
        CHECK(train_once(on_callers, 300) == got);
        CHECK(at_once.calls > 0);
    }
}

TEST_CASE("a level that is not there is refused by name, whoever asks for it") {
    std::string running;
    for (const std::string& level : running_levels()) running += (running.empty() ? "" : ", ") + level;
    const auto refused = [&](const std::string& asked, const std::string& level) {
        return "moe: " + asked + ": wanted one of the levels in this program that the processor has (" + running +
               "), got " + level;
    };
    CHECK_THROWS_WITH(moe::dispatched_cpu({}, "x86-64-v9"), refused("dispatched_cpu level", "x86-64-v9"));
    CHECK_THROWS_AS(moe::dispatched_cpu({}, "avx2"), moe::value_error);
    const environment wrong("x86-64-v3 ");
    CHECK_THROWS_WITH(moe::dispatched_cpu(), refused("MOE_DISPATCH_LEVEL", "x86-64-v3 "));
    // An argument comes first.
    CHECK(moe::dispatched_cpu({}, running_levels().front()).level() == running_levels().front());
}

TEST_CASE("the environment forces a level, an empty variable none") {
    const std::string lowest = running_levels().front();
    const std::string best = moe::dispatched_cpu().level();
    {
        const environment forced(lowest.c_str());
        CHECK(moe::dispatched_cpu().level() == lowest);
    }
    const environment empty("");
    CHECK(moe::dispatched_cpu().level() == best);
}

TEST_CASE("activations that no level knows run where the program is compiled, and rows outside stay as they are") {
    const auto w = random_weights<float>(4, 70, 33, 1), up = random_weights<float>(4, 70, 33, 2);
    const auto x = random_rows<float>(11, 33, 3), bias = random_rows<float>(4, 70, 4);
    const grouping g({0, 13, 1, 40}, 2);
    moe::reference plain;
    guarded<float> wanted(g.last(), 70);
    for (const std::string& level : running_levels()) {
        INFO(level);
        moe::dispatched_cpu b{{}, level};
        for (const bool keep : {false, true}) {
            guarded<float> h(g.last(), 70), z(g.last(), 70), z_up(g.last(), 70);
            const auto kept = [&](guarded<float>& m) { return keep ? m.view() : moe::matrix_view<float>{}; };
            on_level::grouped_activation(b, g.by_token(), x.view(), w, bias.view(), cubed{}, h.view(), kept(z));
            moe::kernels<moe::reference_tag>::grouped_activation(plain, g.by_token(), x.view(), w, bias.view(),
                                                                 cubed{}, wanted.view(), {});
            CHECK(h.only_rows_written(g.first(), g.last()));
            CHECK(relative_error(h.view().middle_rows(2, 54), wanted.view().middle_rows(2, 54)) < 1e-5);

            on_level::grouped_gated_activation(b, g.by_token(), x.view(), w, up, bias.view(), {}, cubed{}, h.view(),
                                               kept(z), kept(z_up));
            moe::kernels<moe::reference_tag>::grouped_gated_activation(plain, g.by_token(), x.view(), w, up,
                                                                       bias.view(), {}, cubed{}, wanted.view(), {}, {});
            CHECK(h.only_rows_written(g.first(), g.last()));
            CHECK(relative_error(h.view().middle_rows(2, 54), wanted.view().middle_rows(2, 54)) < 1e-5);
            if (keep) CHECK(z_up.only_rows_written(g.first(), g.last()));
        }
    }
}

TEST_CASE("a level reads no padding, writes only its rows and keeps NaN in its row") {
    const auto w = random_weights<float>(3, 65, 130, 1);
    auto x = random_rows<float>(11, 130, 3);
    const grouping g({7, 0, 150}, 1);
    for (const std::string& level : running_levels()) {
        INFO(level);
        moe::dispatched_cpu b{{.threads = 2}, level};
        guarded<float> clean(g.last(), 65), spoilt(g.last(), 65);
        on_level::grouped_linear(b, g.by_token(), x.view(), w, {}, clean.view());
        CHECK(clean.only_rows_written(g.first(), g.last()));
        const float before = x(4, 77);
        x(4, 77) = std::numeric_limits<float>::quiet_NaN();
        on_level::grouped_linear(b, g.by_token(), x.view(), w, {}, spoilt.view());
        x(4, 77) = before;
        for (index_t r = g.first(); r < g.last(); ++r) {
            const auto row = [r](const guarded<float>& m) { return m.view().middle_rows(r, 1); };
            if (g.gather[std::size_t(r)] == 4) CHECK(std::isnan(spoilt(r, 0)));
            else CHECK(same_bits(row(clean), row(spoilt)));
        }
    }
}

TEST_CASE("no rows, no groups and no outputs cost nothing and write nothing") {
    moe::dispatched_cpu b;
    const moe::panels<float> none(0, 0, 0), hollow(2, 0, 3), blind(1, 3, 0);
    const std::vector<index_t> nothing{0}, empty{0, 0, 0}, two{0, 2};
    guarded<float> c(2, 3), no_columns(0, 0);
    on_level::grouped_linear(b, {nothing, {}}, {}, none, {}, no_columns.view());
    on_level::grouped_linear(b, {empty, {}}, {}, hollow, {}, no_columns.view());
    CHECK(c.only_rows_written(0, 0));
    // The sum of no inputs is 0.
    on_level::grouped_linear(b, {two, {}}, random_rows<float>(2, 0, 1).view(), blind, {}, c.view());
    for (index_t i = 0; i < 6; ++i) CHECK(c(i / 3, i % 3) == 0.0f);
}

TEST_CASE("a dispatched backend that was moved keeps its threads and its level, and warm calls allocate nothing") {
    moe::dispatched_cpu first{{.threads = 3}};
    const std::vector<float> expected = train_once(first, 300);
    const std::string level = first.level();
    moe::dispatched_cpu second = std::move(first);
    CHECK(second.level() == level);
    CHECK(train_once(second, 300) == expected);

    const auto layer = swiglu_layer();
    const auto x = moe::testing::random_matrix<float>(300, 19, 1);
    moe::matrix<float> y(300, 19);
    layer(second, x.view(), y.view());
    start_counting();
    layer(second, x.view(), y.view());
    CHECK(stop_counting() == 0);
}
