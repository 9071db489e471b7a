#include "backend/problem.hpp"

using namespace test;

namespace {

// f(backend) once on a cpu of each number of threads, scratch poisoned before the second, larger run of its kind.
template <class F>
void on_every_cpu(const F& f) {
    for (const index_t threads : thread_counts()) {
        moe::cpu cpu = make_cpu(threads);
        f(cpu);  // grows the scratch
        poison(cpu.scratch());
        INFO("threads " << threads);
        f(cpu);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("the grouped product on cpu equals the reference and writes the rows of its groups only", "", float,
                   double) {
    using T = TestType;
    const grouping g(every_size(), 2);
    for (const shape s : every_shape()) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto a = random_rows<T>(g.tokens, s.inputs, 2);
        const auto bias = random_rows<T>(g.groups(), s.outputs, 3);
        for (const bool biased : {false, true}) {
            const moe::matrix_view<const T> b = biased ? bias.view() : moe::matrix_view<const T>();
            guarded<T> expected(g.last() + 2, s.outputs);
            moe::reference reference;
            on_reference::grouped_linear(reference, g.by_token(), a.view(), w, b, expected.view());
            on_every_cpu([&](moe::cpu& cpu) {
                guarded<T> c(g.last() + 2, s.outputs);
                on_cpu::grouped_linear(cpu, g.by_token(), a.view(), w, b, c.view());
                CHECK(c.only_rows_written(g.first(), g.last()));
                const auto rows = [&](guarded<T>& m) { return m.view().middle_rows(g.first(), g.last() - g.first()); };
                CHECK(relative_error(rows(c), rows(expected)) <= tolerance<T>::value);
            });
        }
    }
}

TEMPLATE_TEST_CASE("the grouped product without a gather reads row r for row r", "", float, double) {
    using T = TestType;
    const grouping g({4, 0, 9});
    const auto w = random_weights<T>(3, 20, 30, 1);
    const auto a = random_rows<T>(g.last(), 30, 2);
    guarded<T> expected(g.last(), 20), c(g.last(), 20);
    moe::reference reference;
    moe::cpu cpu;
    on_reference::grouped_linear(reference, g.by_row(), a.view(), w, {}, expected.view());
    on_cpu::grouped_linear(cpu, g.by_row(), a.view(), w, {}, c.view());
    CHECK(relative_error(c.view(), expected.view()) <= tolerance<T>::value);
}

TEMPLATE_TEST_CASE("activations behind the product equal the reference; recording changes no bit", "", float, double) {
    using T = TestType;
    const grouping g(every_size());
    for (const shape s : every_shape()) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto a = random_rows<T>(g.tokens, s.inputs, 2);
        const auto bias = random_rows<T>(g.groups(), s.outputs, 3);
        guarded<T> expected(g.last(), s.outputs), expected_z(g.last(), s.outputs);
        moe::reference reference;
        on_reference::grouped_activation(reference, g.by_token(), a.view(), w, bias.view(), moe::gelu{},
                                         expected.view(), expected_z.view());
        on_every_cpu([&](moe::cpu& cpu) {
            guarded<T> h(g.last(), s.outputs), z(g.last(), s.outputs), inference(g.last(), s.outputs);
            on_cpu::grouped_activation(cpu, g.by_token(), a.view(), w, bias.view(), moe::gelu{}, h.view(), z.view());
            on_cpu::grouped_activation(cpu, g.by_token(), a.view(), w, bias.view(), moe::gelu{}, inference.view(), {});
            CHECK(relative_error(h.view(), expected.view()) <= tolerance<T>::value);
            CHECK(relative_error(z.view(), expected_z.view()) <= tolerance<T>::value);
            CHECK(h.only_rows_written(0, g.last()));
            CHECK(z.only_rows_written(0, g.last()));
            CHECK(same_bits(h, inference));
        });
    }
}

TEMPLATE_TEST_CASE("gated activations behind the products equal the reference; recording changes no bit", "", float,
                   double) {
    using T = TestType;
    const grouping g(every_size(), 1);
    const moe::gated<moe::silu> swiglu;
    for (const shape s : every_shape()) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto gate = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto up = random_weights<T>(g.groups(), s.outputs, s.inputs, 5);
        const auto a = random_rows<T>(g.tokens, s.inputs, 2);
        const auto gate_bias = random_rows<T>(g.groups(), s.outputs, 3);
        const auto up_bias = random_rows<T>(g.groups(), s.outputs, 4);
        const index_t rows = g.last() + 1;
        guarded<T> expected(rows, s.outputs), expected_gate(rows, s.outputs), expected_up(rows, s.outputs);
        moe::reference reference;
        on_reference::grouped_gated_activation(reference, g.by_token(), a.view(), gate, up, gate_bias.view(),
                                               up_bias.view(), swiglu, expected.view(), expected_gate.view(),
                                               expected_up.view());
        on_every_cpu([&](moe::cpu& cpu) {
            guarded<T> h(rows, s.outputs), z_gate(rows, s.outputs), z_up(rows, s.outputs), inference(rows, s.outputs);
            on_cpu::grouped_gated_activation(cpu, g.by_token(), a.view(), gate, up, gate_bias.view(), up_bias.view(),
                                             swiglu, h.view(), z_gate.view(), z_up.view());
            on_cpu::grouped_gated_activation(cpu, g.by_token(), a.view(), gate, up, gate_bias.view(), up_bias.view(),
                                             swiglu, inference.view(), {}, {});
            const auto live = [&](guarded<T>& m) { return m.view().middle_rows(1, g.last() - 1); };
            CHECK(relative_error(live(h), live(expected)) <= tolerance<T>::value);
            CHECK(relative_error(live(z_gate), live(expected_gate)) <= tolerance<T>::value);
            CHECK(relative_error(live(z_up), live(expected_up)) <= tolerance<T>::value);
            CHECK(h.only_rows_written(1, g.last()));
            CHECK(z_gate.only_rows_written(1, g.last()));
            CHECK(z_up.only_rows_written(1, g.last()));
            CHECK(same_bits(h, inference));
        });
    }
}

TEMPLATE_TEST_CASE("the input gradient equals the reference, overwriting or adding", "", float, double) {
    using T = TestType;
    const grouping g(every_size(), 2);
    for (const shape s : every_shape()) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto dc = random_rows<T>(g.last(), s.outputs, 2);
        const auto before = random_rows<T>(g.last(), s.inputs, 3);
        for (const bool accumulate : {false, true}) {
            guarded<T> expected = accumulate ? before : guarded<T>(g.last(), s.inputs);
            moe::reference reference;
            on_reference::grouped_input_gradient(reference, g.by_row(), dc.view(), w, expected.view(), accumulate);
            on_every_cpu([&](moe::cpu& cpu) {
                guarded<T> da = accumulate ? before : guarded<T>(g.last(), s.inputs);
                on_cpu::grouped_input_gradient(cpu, g.by_row(), dc.view(), w, da.view(), accumulate);
                const auto live = [&](guarded<T>& m) { return m.view().middle_rows(2, g.last() - 2); };
                CHECK(relative_error(live(da), live(expected)) <= tolerance<T>::gradient);
                if (accumulate)
                    CHECK(same_bits<T>(da.view().middle_rows(0, 2), before.view().middle_rows(0, 2)));
                else
                    CHECK(da.only_rows_written(2, g.last()));
            });
        }
    }
}

TEMPLATE_TEST_CASE("weight and bias gradients equal the reference and add to what is there", "", float, double) {
    using T = TestType;
    const grouping g(every_size(), 1);
    for (const shape s : every_shape()) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto dc = random_rows<T>(g.last(), s.outputs, 2);
        const auto a = random_rows<T>(g.tokens, s.inputs, 3);
        const auto before = random_weights<T>(g.groups(), s.outputs, s.inputs, 4);
        const auto bias_before = random_rows<T>(g.groups(), s.outputs, 5);
        auto expected = before;
        auto expected_bias = bias_before;
        moe::reference reference;
        on_reference::grouped_weight_gradient(reference, g.by_token(), dc.view(), a.view(), expected);
        on_reference::grouped_bias_gradient(reference, g.by_row(), dc.view(), expected_bias.view());
        on_every_cpu([&](moe::cpu& cpu) {
            auto dw = before;
            auto db = bias_before;
            on_cpu::grouped_weight_gradient(cpu, g.by_token(), dc.view(), a.view(), dw);
            on_cpu::grouped_bias_gradient(cpu, g.by_row(), dc.view(), db.view());
            CHECK(relative_error(as_rows(dw), as_rows(expected)) <= tolerance<T>::gradient);
            CHECK(relative_error(db.view(), expected_bias.view()) <= tolerance<T>::gradient);
        });
    }
}

TEMPLATE_TEST_CASE("weight gradients leave the padding of panels and groups without rows as they are", "", float,
                   double) {
    using T = TestType;
    const grouping g({3, 0, 70});
    const auto dc = random_rows<T>(g.last(), 5, 2);
    guarded<T> a = random_rows<T>(g.tokens, 9, 3);
    a(0, 0) = std::numeric_limits<T>::quiet_NaN();  // 0 * NaN must not reach the padding
    moe::panels<T> dw(3, 5, 9);
    moe::cpu cpu;
    on_cpu::grouped_weight_gradient(cpu, g.by_token(), dc.view(), a.view(), dw);
    for (index_t group = 0; group < 3; ++group) {
        const T* panel = dw.panel(group, 0);
        for (index_t i = 0; i < 9 * moe::panels<T>::width; ++i) {
            if (i % moe::panels<T>::width >= 5 || group == 1) REQUIRE(panel[i] == T(0));
        }
    }
    CHECK(dw(2, 0, 1) != T(0));
}

TEMPLATE_TEST_CASE("products without rows, groups, inputs or outputs do nothing, or give zeros and the bias", "", float,
                   double) {
    using T = TestType;
    for (const index_t threads : {1, 3}) {
        moe::cpu cpu = make_cpu(threads);
        const grouping none({}), no_rows({0, 0, 0}), some({2, 1});
        const auto x = random_rows<T>(11, 4, 1);
        moe::panels<T> w0(0, 5, 4), w(3, 5, 4), no_inputs(2, 5, 0), no_outputs(2, 0, 4);
        guarded<T> c(3, 5), dx(3, 4);
        on_cpu::grouped_linear(cpu, none.by_token(), x.view(), w0, {}, c.view());
        on_cpu::grouped_linear(cpu, no_rows.by_token(), x.view(), w, {}, c.view());
        on_cpu::grouped_weight_gradient(cpu, no_rows.by_token(), c.view(), x.view(), w);
        on_cpu::grouped_weight_gradient(cpu, none.by_token(), c.view(), x.view(), w0);
        on_cpu::grouped_input_gradient(cpu, no_rows.by_row(), c.view(), w, dx.view(), false);
        on_cpu::grouped_bias_gradient(cpu, none.by_row(), c.view(), moe::matrix_view<T>());
        CHECK(c.only_rows_written(0, 0));
        CHECK(dx.only_rows_written(0, 0));
        const auto bias = random_rows<T>(2, 5, 2);
        on_cpu::grouped_linear(cpu, some.by_token(), moe::matrix_view<const T>(x.view().data, 11, 0, 7), no_inputs,
                               bias.view(), c.view());
        CHECK(same_bits<T>(c.view().middle_rows(1, 1), bias.view().middle_rows(0, 1)));
        CHECK(same_bits<T>(c.view().middle_rows(2, 1), bias.view().middle_rows(1, 1)));
        on_cpu::grouped_input_gradient(cpu, some.by_row(), moe::matrix_view<const T>(x.view().data, 3, 0, 7),
                                       no_outputs, dx.view(), false);
        for (index_t i = 0; i < 3; ++i) {
            for (index_t j = 0; j < 4; ++j) CHECK(dx(i, j) == T(0));
        }
    }
}

TEST_CASE("scalars that no vector holds run as in reference") {
    using T = long double;
    const grouping g({2, 3});
    moe::panels<T> w(2, 3, 4), up(2, 3, 4), dw(2, 3, 4);
    moe::matrix<T> a(11, 4), h(5, 3), expected(5, 3), da(5, 4), db(2, 3);
    for (std::size_t i = 0; i < a.size(); ++i) a.span()[i] = T(i % 7) - 3;
    for (std::size_t i = 0; i < w.span().size(); ++i) w.span()[i] = up.span()[i] = T(i % 5) / 4;
    moe::reference reference;
    moe::cpu cpu = make_cpu(2);
    on_reference::grouped_gated_activation(reference, g.by_token(), a.view(), w, up, {}, {}, moe::gated<moe::silu>{},
                                           expected.view(), {}, {});
    on_cpu::grouped_gated_activation(cpu, g.by_token(), a.view(), w, up, {}, {}, moe::gated<moe::silu>{}, h.view(), {},
                                     {});
    CHECK(relative_error(h.view(), expected.view()) == 0.0);
    on_cpu::grouped_weight_gradient(cpu, g.by_token(), h.view(), a.view(), dw);
    on_cpu::grouped_input_gradient(cpu, g.by_row(), h.view(), w, da.view(), false);
    on_cpu::grouped_bias_gradient(cpu, g.by_row(), h.view(), db.view());
    CHECK(db(0, 1) == h(0, 1) + h(1, 1));
}

TEST_CASE("sums of float over a depth of 4096 are within 1e-6 of the largest of those in double") {
    const index_t rows = 7, outputs = 64, inputs = 4096;
    const grouping g({rows});
    const auto w = random_weights<float>(1, outputs, inputs, 1);
    const auto a = random_rows<float>(rows, inputs, 2);
    guarded<float> c(rows, outputs);
    moe::cpu cpu;
    on_cpu::grouped_linear(cpu, g.by_row(), a.view(), w, {}, c.view());
    double worst = 0, largest = 0;
    for (index_t r = 0; r < rows; ++r) {
        for (index_t n = 0; n < outputs; ++n) {
            double sum = 0;
            for (index_t k = 0; k < inputs; ++k) sum += double(a(r, k)) * double(w(0, n, k));
            worst = std::max(worst, std::abs(sum - double(c(r, n))));
            largest = std::max(largest, std::abs(sum));
        }
    }
    INFO("error " << worst / largest);
    CHECK(worst <= 1e-6 * largest);
}
