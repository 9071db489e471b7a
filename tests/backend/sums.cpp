#include "backend/problem.hpp"

using namespace test;

namespace {

// 13 tokens, 6 experts; some slots dead, token 4 without any route, expert 3 without rows.
struct routed {
    static constexpr index_t tokens = 13, experts = 6;
    std::vector<index_t> offset{0}, expert;
    moe::arena memory;
    moe::plan_view plan;

    routed() {
        for (index_t t = 0; t < tokens; ++t) {
            for (index_t k = 0; t != 4 && k < 1 + t % 4; ++k) {
                const index_t e = (3 * t + 5 - k) % experts;
                expert.push_back(e == 3 || (t == 7 && k == 1) ? -1 : e);
            }
            offset.push_back(static_cast<index_t>(expert.size()));
        }
        moe::reference reference;
        plan = on_reference::build_plan(reference, tokens, experts, offset, expert, memory);
    }
};

}  // namespace

TEMPLATE_TEST_CASE("the weighted sum equals the reference, for whole plans and for some of the experts", "", float,
                   double) {
    using T = TestType;
    const routed r;
    for (const index_t columns : {1, 3, 8, 16, 37, 64, 70, 130}) {
        INFO("columns " << columns);
        const auto rows = random_rows<T>(r.plan.rows(), columns, 1);
        const auto weight_row = random_rows<T>(1, static_cast<index_t>(r.expert.size()), 2);
        const std::span<const T> weight(weight_row.view().data, r.expert.size());
        const auto before = random_rows<T>(routed::tokens, columns, 3);
        for (const bool accumulate : {false, true}) {
            for (const moe::plan_view& plan : {r.plan, r.plan.experts_range(1, 3), r.plan.experts_range(2, 0)}) {
                for (const std::span<const T> w : {weight, std::span<const T>()}) {
                    auto expected = accumulate ? before : guarded<T>(routed::tokens, columns);
                    moe::reference reference;
                    on_reference::weighted_sum(reference, plan, rows.view(), w, expected.view(), accumulate);
                    for (const index_t threads : thread_counts()) {
                        moe::cpu cpu = make_cpu(threads);
                        auto y = accumulate ? before : guarded<T>(routed::tokens, columns);
                        on_cpu::weighted_sum(cpu, plan, rows.view(), w, y.view(), accumulate);
                        CHECK(relative_error(y.view(), expected.view()) <= tolerance<T>::value);
                        CHECK(y.only_rows_written(0, routed::tokens));
                    }
                }
            }
        }
    }
}

TEMPLATE_TEST_CASE("the gradient of the weighted sum equals the reference and adds to the weights", "", float, double) {
    using T = TestType;
    const routed r;
    for (const index_t columns : {1, 5, 16, 33, 64, 127, 200}) {
        INFO("columns " << columns);
        const auto rows = random_rows<T>(r.plan.rows(), columns, 1);
        const auto dy = random_rows<T>(routed::tokens, columns, 2);
        std::vector<T> weight(r.expert.size());
        for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = T(i) / T(7) - T(1);
        for (const moe::plan_view& plan : {r.plan, r.plan.experts_range(1, 3)}) {
            guarded<T> expected(r.plan.rows(), columns);
            std::vector<T> expected_weight(weight.size(), T(2));
            moe::reference reference;
            on_reference::weighted_sum_gradient(reference, plan, rows.view(), weight, dy.view(), expected.view(),
                                                expected_weight);
            for (const index_t threads : thread_counts()) {
                moe::cpu cpu = make_cpu(threads);
                guarded<T> d_rows(r.plan.rows(), columns), without(r.plan.rows(), columns);
                std::vector<T> d_weight(weight.size(), T(2));
                on_cpu::weighted_sum_gradient(cpu, plan, rows.view(), weight, dy.view(), d_rows.view(), d_weight);
                on_cpu::weighted_sum_gradient(cpu, plan, rows.view(), weight, dy.view(), without.view(), {});
                const auto live = [&](guarded<T>& m) { return m.view().middle_rows(plan.first_row(), plan.rows()); };
                CHECK(relative_error(live(d_rows), live(expected)) <= tolerance<T>::value);
                CHECK(d_rows.only_rows_written(plan.first_row(), plan.last_row()));
                CHECK(same_bits(d_rows, without));
                const index_t slots = static_cast<index_t>(weight.size());
                CHECK(relative_error(moe::matrix_view<T>(d_weight.data(), 1, slots),
                                     moe::matrix_view<T>(expected_weight.data(), 1, slots)) <= tolerance<T>::value);
            }
        }
    }
}

TEMPLATE_TEST_CASE("activation gradients equal the reference within the groups and write nothing else", "", float,
                   double) {
    using T = TestType;
    const grouping g({2, 0, 5, 1}, 3);
    for (const index_t columns : {1, 7, 16, 33, 9000}) {
        INFO("columns " << columns);
        const auto z = random_rows<T>(g.last() + 1, columns, 1), z_up = random_rows<T>(g.last() + 1, columns, 2);
        const auto dh = random_rows<T>(g.last() + 1, columns, 3);
        auto expected = dh;
        guarded<T> expected_gate(g.last() + 1, columns), expected_up(g.last() + 1, columns);
        moe::reference reference;
        on_reference::activation_gradient(reference, g.by_row(), z.view(), moe::silu{}, expected.view());
        on_reference::gated_activation_gradient(reference, g.by_row(), z.view(), z_up.view(), dh.view(),
                                                moe::gated<moe::gelu>{}, expected_gate.view(), expected_up.view());
        for (const index_t threads : thread_counts()) {
            moe::cpu cpu = make_cpu(threads);
            auto d = dh, up_in_place = dh;
            guarded<T> d_gate(g.last() + 1, columns), d_up(g.last() + 1, columns), d_gate_again(g.last() + 1, columns);
            on_cpu::activation_gradient(cpu, g.by_row(), z.view(), moe::silu{}, d.view());
            on_cpu::gated_activation_gradient(cpu, g.by_row(), z.view(), z_up.view(), dh.view(),
                                              moe::gated<moe::gelu>{}, d_gate.view(), d_up.view());
            on_cpu::gated_activation_gradient(cpu, g.by_row(), z.view(), z_up.view(), up_in_place.view(),
                                              moe::gated<moe::gelu>{}, d_gate_again.view(), up_in_place.view());
            CHECK(relative_error(d.view(), expected.view()) <= tolerance<T>::gradient);
            const auto live = [&](guarded<T>& m) { return m.view().middle_rows(g.first(), g.last() - g.first()); };
            CHECK(relative_error(live(d_gate), live(expected_gate)) <= tolerance<T>::gradient);
            CHECK(relative_error(live(d_up), live(expected_up)) <= tolerance<T>::gradient);
            CHECK(same_bits<T>(live(up_in_place), live(d_up)));
            CHECK(d_gate.only_rows_written(g.first(), g.last()));
            CHECK(d_up.only_rows_written(g.first(), g.last()));
            for (const index_t r : {0, 1, 2, 11})
                CHECK(same_bits<T>(d.view().middle_rows(r, 1), dh.view().middle_rows(r, 1)));
        }
    }
}

TEMPLATE_TEST_CASE("copy, fill and add treat every element once", "", float, double, int) {
    using T = TestType;
    for (const auto& [rows, columns] : {std::pair{0, 3}, {3, 0}, {1, 1}, {5, 17}, {200, 3}, {2, 20000}}) {
        INFO(rows << " x " << columns);
        for (const index_t threads : thread_counts()) {
            moe::cpu cpu = make_cpu(threads);
            guarded<T> from(rows, columns), to(rows, columns), sum(rows, columns), filled(rows, columns);
            for (index_t i = 0; i < rows; ++i) {
                for (index_t j = 0; j < columns; ++j) {
                    from(i, j) = static_cast<T>(i * 31 + j % 100);
                    sum(i, j) = static_cast<T>(j % 50);
                }
            }
            on_cpu::copy(cpu, from.view(), to.view());
            on_cpu::fill(cpu, filled.view(), T(3));
            on_cpu::add(cpu, from.view(), sum.view());
            CHECK(same_bits(to, from));
            CHECK(to.only_rows_written(0, rows));
            CHECK(filled.only_rows_written(0, rows));
            CHECK(sum.only_rows_written(0, rows));
            bool right = true;
            for (index_t i = 0; i < rows; ++i) {
                for (index_t j = 0; j < columns; ++j) {
                    right = right && filled(i, j) == T(3) && sum(i, j) == static_cast<T>(i * 31 + j % 100 + j % 50);
                }
            }
            CHECK(right);
        }
    }
}
