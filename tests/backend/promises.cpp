// What every result of the cpu backend promises beside being right: the same bits for any number of threads, rows that
// do not see one another, nothing read or written that is not named.
#include "backend/caller_pool.hpp"
#include "backend/problem.hpp"

using namespace test;

namespace {

// Everything that the grouped verbs and the weighted sums compute from one problem.
template <class T>
struct results {
    guarded<T> c, h, z_gate, z_up, da, y, d_rows;
    moe::panels<T> dw;
    guarded<T> db;
    std::vector<T> d_weight;

    bool operator==(const results& o) const {
        return same_bits(c, o.c) && same_bits(h, o.h) && same_bits(z_gate, o.z_gate) && same_bits(z_up, o.z_up) &&
               same_bits(da, o.da) && same_bits(y, o.y) && same_bits(d_rows, o.d_rows) && same_bits(dw, o.dw) &&
               same_bits(db, o.db) && std::memcmp(d_weight.data(), o.d_weight.data(), d_weight.size() * sizeof(T)) == 0;
    }
};

// Tokens with one to three routes each.
struct routing {
    std::vector<index_t> offset{0}, expert;

    routing(index_t tokens, index_t experts) {
        for (index_t t = 0; t < tokens; ++t) {
            for (index_t k = 0; k <= t % 3; ++k) expert.push_back(t % 5 == 4 && k == 0 ? -1 : (t * t + k) % experts);
            offset.push_back(static_cast<index_t>(expert.size()));
        }
    }
};

template <class T>
results<T> run_all(moe::cpu& cpu, index_t tokens, index_t outputs, index_t inputs) {
    constexpr index_t experts = 7;
    const routing routes(tokens, experts);
    moe::arena memory;
    const moe::plan_view plan = on_cpu::build_plan(cpu, tokens, experts, routes.offset, routes.expert, memory);
    const moe::row_groups by_token{plan.offset, plan.token}, by_row{plan.offset, {}};
    const index_t rows = plan.rows();
    const auto w = random_weights<T>(experts, outputs, inputs, 1), up = random_weights<T>(experts, outputs, inputs, 2);
    const auto x = random_rows<T>(tokens, inputs, 3), bias = random_rows<T>(experts, outputs, 4);
    guarded<T> weight = random_rows<T>(1, static_cast<index_t>(routes.expert.size()), 5);
    const std::span<const T> weights(weight.view().data, routes.expert.size());
    results<T> r{guarded<T>(rows, outputs),
                 guarded<T>(rows, outputs),
                 guarded<T>(rows, outputs),
                 guarded<T>(rows, outputs),
                 guarded<T>(rows, inputs),
                 guarded<T>(tokens, outputs),
                 guarded<T>(rows, outputs),
                 moe::panels<T>(experts, outputs, inputs),
                 random_rows<T>(experts, outputs, 6),
                 std::vector<T>(routes.expert.size(), T(1))};
    poison(cpu.scratch());
    on_cpu::grouped_linear(cpu, by_token, x.view(), w, bias.view(), r.c.view());
    on_cpu::grouped_gated_activation(cpu, by_token, x.view(), w, up, bias.view(), {}, moe::gated<moe::gelu_tanh>{},
                                     r.h.view(), r.z_gate.view(), r.z_up.view());
    on_cpu::weighted_sum(cpu, plan, r.h.view(), weights, r.y.view(), false);
    on_cpu::weighted_sum_gradient(cpu, plan, r.h.view(), weights, r.y.view(), r.d_rows.view(), r.d_weight);
    on_cpu::grouped_input_gradient(cpu, by_row, r.d_rows.view(), w, r.da.view(), false);
    on_cpu::grouped_weight_gradient(cpu, by_token, r.d_rows.view(), x.view(), r.dw);
    on_cpu::grouped_bias_gradient(cpu, by_row, r.d_rows.view(), r.db.view());
    return r;
}

}  // namespace

TEMPLATE_TEST_CASE("every number of threads gives the same bits", "", float, double) {
    using T = TestType;
    for (const auto& [tokens, outputs, inputs] : {std::array{1, 65, 300}, {90, 130, 70}, {400, 33, 600}}) {
        INFO("tokens " << tokens);
        moe::cpu one;
        const results<T> expected = run_all<T>(one, tokens, outputs, inputs);
        for (const index_t threads : thread_counts()) {
            INFO("threads " << threads);
            moe::cpu cpu = make_cpu(threads);
            CHECK(run_all<T>(cpu, tokens, outputs, inputs) == expected);
            CHECK(run_all<T>(cpu, tokens, outputs, inputs) == expected);
        }
    }
}

TEST_CASE("a caller's pool gives the bits of our own threads, also where its tasks run one after the other") {
    moe::cpu own;
    const results<float> expected = run_all<float>(own, 90, 130, 70);
    for (const index_t threads : thread_counts()) {
        INFO("threads " << threads);
        threads_for_each_call at_once;
        backwards one_by_one;
        moe::cpu first{moe::on_pool{threads, at_once}}, second{moe::on_pool{threads, one_by_one}};
        CHECK(run_all<float>(first, 90, 130, 70) == expected);
        CHECK(run_all<float>(second, 90, 130, 70) == expected);
    }
}

TEMPLATE_TEST_CASE("a row's result does not depend on the rows around it or on its place among them", "", float,
                   double) {
    using T = TestType;
    constexpr index_t outputs = 70, inputs = 333, tokens = 11;
    const auto w = random_weights<T>(1, outputs, inputs, 1), up = random_weights<T>(1, outputs, inputs, 2);
    const auto x = random_rows<T>(tokens, inputs, 3), dc_of_token = random_rows<T>(tokens, outputs, 4);
    moe::cpu cpu;
    const moe::gated<moe::silu> swiglu;

    guarded<T> h_alone(tokens, outputs), da_alone(tokens, inputs);
    for (index_t t = 0; t < tokens; ++t) {
        const std::vector<index_t> offset{t, t + 1};
        std::vector<index_t> same(tokens);
        for (index_t i = 0; i < tokens; ++i) same[std::size_t(i)] = i;
        on_cpu::grouped_gated_activation(cpu, {offset, same}, x.view(), w, up, {}, {}, swiglu, h_alone.view(), {}, {});
        on_cpu::grouped_input_gradient(cpu, {offset, {}}, dc_of_token.view(), w, da_alone.view(), false);
    }
    for (const index_t rows : {2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 31, 130, 263}) {
        INFO("rows " << rows);
        const grouping g({rows});
        guarded<T> dc(rows, outputs), h(rows, outputs), da(rows, inputs);
        for (index_t r = 0; r < rows; ++r)
            std::copy_n(dc_of_token.view().row(g.gather[std::size_t(r)]), outputs, dc.view().row(r));
        on_cpu::grouped_gated_activation(cpu, g.by_token(), x.view(), w, up, {}, {}, swiglu, h.view(), {}, {});
        on_cpu::grouped_input_gradient(cpu, g.by_row(), dc.view(), w, da.view(), false);
        for (index_t r = 0; r < rows; ++r) {
            const index_t t = g.gather[std::size_t(r)];
            REQUIRE(same_bits<T>(h.view().middle_rows(r, 1), h_alone.view().middle_rows(t, 1)));
            REQUIRE(same_bits<T>(da.view().middle_rows(r, 1), da_alone.view().middle_rows(t, 1)));
        }
    }
}

TEMPLATE_TEST_CASE("a NaN or infinite row changes no other row and its own everywhere", "", float, double) {
    using T = TestType;
    constexpr index_t outputs = 40, inputs = 270;
    const grouping g({5, 13});
    const auto w = random_weights<T>(2, outputs, inputs, 1), up = random_weights<T>(2, outputs, inputs, 2);
    const auto x = random_rows<T>(g.tokens, inputs, 3), dc = random_rows<T>(g.last(), outputs, 4);
    moe::cpu cpu;
    const moe::gated<moe::silu> swiglu;
    guarded<T> h(g.last(), outputs), da(g.last(), inputs);
    on_cpu::grouped_gated_activation(cpu, g.by_token(), x.view(), w, up, {}, {}, swiglu, h.view(), {}, {});
    on_cpu::grouped_input_gradient(cpu, g.by_row(), dc.view(), w, da.view(), false);
    for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
        auto x_bad = x;
        auto dc_bad = dc;
        const index_t token = g.gather[7];
        for (index_t j = 0; j < inputs; ++j) x_bad(token, j) = bad;
        for (index_t j = 0; j < outputs; ++j) dc_bad(7, j) = bad;
        guarded<T> h_bad(g.last(), outputs), da_bad(g.last(), inputs);
        on_cpu::grouped_gated_activation(cpu, g.by_token(), x_bad.view(), w, up, {}, {}, swiglu, h_bad.view(), {}, {});
        on_cpu::grouped_input_gradient(cpu, g.by_row(), dc_bad.view(), w, da_bad.view(), false);
        for (index_t r = 0; r < g.last(); ++r) {
            const bool hit = g.gather[std::size_t(r)] == token;
            CHECK(same_bits<T>(h_bad.view().middle_rows(r, 1), h.view().middle_rows(r, 1)) == !hit);
            CHECK(same_bits<T>(da_bad.view().middle_rows(r, 1), da.view().middle_rows(r, 1)) == (r != 7));
            for (index_t j = 0; j < outputs && hit; ++j) CHECK(std::isnan(h_bad(r, j)));
        }
    }
}

TEST_CASE("a warm call takes no new scratch") {
    moe::cpu cpu = make_cpu(2);
    (void)run_all<float>(cpu, 90, 130, 70);
    const std::size_t capacity = cpu.scratch().capacity();
    const auto position = cpu.scratch().position();
    (void)run_all<float>(cpu, 90, 130, 70);
    (void)run_all<float>(cpu, 40, 100, 70);
    CHECK(cpu.scratch().capacity() == capacity);
    CHECK(cpu.scratch().position().chunk == position.chunk);
    CHECK(cpu.scratch().position().used == position.used);
}
