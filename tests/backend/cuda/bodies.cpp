// The kernel bodies of backend/cuda are functions of (block, thread, arguments): here they run over the whole grid and
// are held against the reference, forward and adjoint.
#include "backend/cuda/on_host.hpp"
#include "backend/problem.hpp"

using namespace test;

namespace {

using device = cuda_on_host<moe::host_memory>;
using on_device = moe::kernels_of<device>;

// f(backend) with the threads of the grid in either order, scratch full of NaN patterns.
template <class F>
void in_either_order(const F& f) {
    for (const bool backwards : {false, true}) {
        INFO("backwards " << backwards);
        device b(backwards);
        (void)b.scratch().take<double>(1000);
        b.scratch().reset();
        poison(b.scratch());
        f(b);
    }
}

template <class T>
moe::matrix_view<T> live(guarded<T>& m, const grouping& g) {
    return m.view().middle_rows(g.first(), g.last() - g.first());
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: the grouped products and their epilogues equal the reference and write their rows only", "",
                   float, double) {
    using T = TestType;
    const grouping g(every_size(), 2);
    const moe::gated<moe::silu> swiglu;
    for (const shape s : {shape{1, 1}, {3, 5}, {65, 17}, {130, 70}}) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto up = random_weights<T>(g.groups(), s.outputs, s.inputs, 5);
        const auto a = random_rows<T>(g.tokens, s.inputs, 2);
        const auto bias = random_rows<T>(g.groups(), s.outputs, 3);
        const auto up_bias = random_rows<T>(g.groups(), s.outputs, 4);
        const auto fresh = [&] { return guarded<T>(g.last() + 2, s.outputs); };
        moe::reference reference;
        auto linear = fresh(), plain = fresh(), plain_z = fresh(), h = fresh(), z_gate = fresh(), z_up = fresh();
        on_reference::grouped_linear(reference, g.by_token(), a.view(), w, {}, linear.view());
        on_reference::grouped_activation(reference, g.by_token(), a.view(), w, bias.view(), moe::gelu{}, plain.view(),
                                         plain_z.view());
        on_reference::grouped_gated_activation(reference, g.by_token(), a.view(), w, up, bias.view(), up_bias.view(),
                                               swiglu, h.view(), z_gate.view(), z_up.view());
        in_either_order([&](device& b) {
            const auto equal = [&](guarded<T>& got, guarded<T>& wanted) {
                CHECK(got.only_rows_written(g.first(), g.last()));
                CHECK(relative_error(live(got, g), live(wanted, g)) <= tolerance<T>::value);
            };
            auto c = fresh(), d = fresh(), e = fresh();
            on_device::grouped_linear(b, g.by_token(), a.view(), w, {}, c.view());
            equal(c, linear);
            c = fresh();
            on_device::grouped_activation(b, g.by_token(), a.view(), w, bias.view(), moe::gelu{}, c.view(), d.view());
            equal(c, plain);
            equal(d, plain_z);
            c = d = fresh();
            on_device::grouped_gated_activation(b, g.by_token(), a.view(), w, up, bias.view(), up_bias.view(), swiglu,
                                                c.view(), d.view(), e.view());
            equal(c, h);
            equal(d, z_gate);
            equal(e, z_up);
            auto inference = fresh();
            on_device::grouped_gated_activation(b, g.by_token(), a.view(), w, up, bias.view(), up_bias.view(), swiglu,
                                                inference.view(), {}, {});
            CHECK(same_bits(inference, c));
        });
    }
}

TEMPLATE_TEST_CASE("cuda: the gradients of the grouped products equal the reference", "", float, double) {
    using T = TestType;
    const grouping g(every_size(), 1);
    for (const shape s : {shape{1, 1}, {5, 3}, {17, 65}, {70, 130}}) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_weights<T>(g.groups(), s.outputs, s.inputs, 1);
        const auto dc = random_rows<T>(g.last(), s.outputs, 2);
        const auto a = random_rows<T>(g.tokens, s.inputs, 3);
        const auto before = random_weights<T>(g.groups(), s.outputs, s.inputs, 4);
        const auto bias_before = random_rows<T>(g.groups(), s.outputs, 5);
        const auto input_before = random_rows<T>(g.last(), s.inputs, 6);
        moe::reference reference;
        auto dw = before;
        auto db = bias_before;
        on_reference::grouped_weight_gradient(reference, g.by_token(), dc.view(), a.view(), dw);
        on_reference::grouped_bias_gradient(reference, g.by_row(), dc.view(), db.view());
        in_either_order([&](device& b) {
            auto dw_here = before;
            auto db_here = bias_before;
            on_device::grouped_weight_gradient(b, g.by_token(), dc.view(), a.view(), dw_here);
            on_device::grouped_bias_gradient(b, g.by_row(), dc.view(), db_here.view());
            CHECK(relative_error(as_rows(dw_here), as_rows(dw)) <= tolerance<T>::gradient);
            CHECK(relative_error(db_here.view(), db.view()) <= tolerance<T>::gradient);
            for (const bool accumulate : {false, true}) {
                guarded<T> wanted = accumulate ? input_before : guarded<T>(g.last(), s.inputs);
                guarded<T> da = wanted;
                on_reference::grouped_input_gradient(reference, g.by_row(), dc.view(), w, wanted.view(), accumulate);
                on_device::grouped_input_gradient(b, g.by_row(), dc.view(), w, da.view(), accumulate);
                CHECK(relative_error(live(da, g), live(wanted, g)) <= tolerance<T>::gradient);
                CHECK(same_bits<T>(da.view().middle_rows(0, 1), wanted.view().middle_rows(0, 1)));
            }
        });
    }
}

TEMPLATE_TEST_CASE("cuda: activation gradients, copy, fill and add equal the reference", "", float, double) {
    using T = TestType;
    const grouping g({3, 0, 70, 1}, 2);
    for (const index_t columns : {1, 37, 300}) {
        const auto z = random_rows<T>(g.last(), columns, 1), up = random_rows<T>(g.last(), columns, 2);
        const auto dh = random_rows<T>(g.last(), columns, 3);
        moe::reference reference;
        guarded<T> plain = dh, d_gate(g.last(), columns), d_up = dh, sum = dh;
        on_reference::activation_gradient(reference, g.by_row(), z.view(), moe::gelu{}, plain.view());
        on_reference::gated_activation_gradient(reference, g.by_row(), z.view(), up.view(), d_up.view(),
                                                moe::gated<moe::silu>{}, d_gate.view(), d_up.view());
        on_reference::add(reference, z.view(), sum.view());
        in_either_order([&](device& b) {
            guarded<T> plain_here = dh, d_gate_here(g.last(), columns), d_up_here = dh, sum_here = dh;
            guarded<T> copied(g.last(), columns), filled(g.last(), columns);
            on_device::activation_gradient(b, g.by_row(), z.view(), moe::gelu{}, plain_here.view());
            on_device::gated_activation_gradient(b, g.by_row(), z.view(), up.view(), d_up_here.view(),
                                                 moe::gated<moe::silu>{}, d_gate_here.view(), d_up_here.view());
            on_device::add(b, z.view(), sum_here.view());
            on_device::copy(b, z.view(), copied.view());
            on_device::fill(b, filled.view(), T(3));
            CHECK(relative_error(plain_here.view(), plain.view()) <= tolerance<T>::value);
            CHECK(relative_error(live(d_gate_here, g), live(d_gate, g)) <= tolerance<T>::value);
            CHECK(d_gate_here.only_rows_written(g.first(), g.last()));
            CHECK(relative_error(d_up_here.view(), d_up.view()) <= tolerance<T>::value);
            CHECK(same_bits(sum_here, sum));
            CHECK(same_bits(copied, z));
            CHECK(filled.only_rows_written(0, g.last()));
            CHECK(filled(g.last() - 1, columns - 1) == T(3));
        });
    }
}

TEST_CASE("cuda: a plan is the reference's, for any number of tokens, experts and slots") {
    const moe::random_stream random(7, moe::stream_id("tests.cuda"));
    for (const index_t tokens : {0, 1, 5, 300, 1500}) {
        for (const index_t experts : {1, 3, 70}) {
            INFO(tokens << " tokens, " << experts << " experts");
            std::vector<index_t> offset{0}, expert;
            for (index_t t = 0; t < tokens; ++t) {
                const index_t first = static_cast<index_t>(experts * random.uniform(std::uint64_t(t), 0));
                const index_t count = std::min(experts, index_t{t % 5});
                for (index_t k = 0; k < count; ++k) {
                    const index_t e = (first + count - k) % experts;
                    expert.push_back(random.uniform(std::uint64_t(t), std::uint32_t(k + 1)) < 0.2 ? -1 : e);
                }
                offset.push_back(static_cast<index_t>(expert.size()));
            }
            moe::reference reference;
            moe::arena memory, memory_here;
            const moe::plan_view wanted = on_reference::build_plan(reference, tokens, experts, offset, expert, memory);
            in_either_order([&](device& b) {
                const moe::plan_view got = on_device::build_plan(b, tokens, experts, offset, expert, memory_here);
                const auto same = [](std::span<const index_t> a, std::span<const index_t> c) {
                    return std::vector<index_t>(a.begin(), a.end()) == std::vector<index_t>(c.begin(), c.end());
                };
                CHECK(got.tokens == tokens);
                CHECK(same(got.offset, wanted.offset));
                CHECK(same(got.row_begin, wanted.offset));
                CHECK(same(got.token, wanted.token));
                CHECK(same(got.slot, wanted.slot));
                CHECK(same(got.row, wanted.row));
                CHECK(same(got.token_offset, wanted.token_offset));
                CHECK(same(got.token_row, wanted.token_row));
            });
        }
    }
}

TEMPLATE_TEST_CASE("cuda: the weighted sum and its gradients equal the reference, for some of the experts too", "",
                   float, double) {
    using T = TestType;
    const std::vector<index_t> offset{0, 2, 2, 5, 6, 9}, expert{2, 0, 0, -1, 2, 2, 3, 1, 2};
    moe::reference reference;
    moe::arena memory;
    const moe::plan_view whole = on_reference::build_plan(reference, 5, 4, offset, expert, memory);
    for (const index_t columns : {1, 37, 300}) {
        const auto rows = random_rows<T>(whole.rows(), columns, 1), dy = random_rows<T>(5, columns, 2);
        const auto before = random_rows<T>(5, columns, 3), weights = random_rows<T>(1, 9, 4);
        for (const moe::plan_view& plan : {whole, whole.experts_range(1, 2), whole.experts_range(3, 0)}) {
            for (const std::span<const T> w : {std::span<const T>(weights.view().data, 9), std::span<const T>()}) {
                guarded<T> y = before, d_rows(whole.rows(), columns);
                std::vector<T> d_weight(9, T(0.5));
                on_reference::weighted_sum(reference, plan, rows.view(), w, y.view(), w.empty());
                on_reference::weighted_sum_gradient(reference, plan, rows.view(), w, dy.view(), d_rows.view(),
                                                    d_weight);
                in_either_order([&](device& b) {
                    guarded<T> y_here = before, d_rows_here(whole.rows(), columns);
                    std::vector<T> d_weight_here(9, T(0.5));
                    on_device::weighted_sum(b, plan, rows.view(), w, y_here.view(), w.empty());
                    on_device::weighted_sum_gradient(b, plan, rows.view(), w, dy.view(), d_rows_here.view(),
                                                     d_weight_here);
                    CHECK(relative_error(y_here.view(), y.view()) <= tolerance<T>::value);
                    CHECK(same_bits(d_rows_here, d_rows));
                    const auto row = [](std::vector<T>& v) { return moe::matrix_view<T>(v.data(), 1, 9); };
                    CHECK(relative_error(row(d_weight_here), row(d_weight)) <= tolerance<T>::gradient);
                });
            }
        }
    }
}

TEST_CASE("cuda: verbs without groups, rows, inputs or outputs launch nothing or give zeros") {
    using T = double;
    const grouping none({}), no_rows({0, 0, 0}), some({2, 1});
    const auto x = random_rows<T>(11, 4, 1);
    moe::panels<T> w0(0, 5, 4), w(3, 5, 4), no_inputs(2, 5, 0), no_outputs(2, 0, 4);
    const auto bias = random_rows<T>(2, 5, 2);
    in_either_order([&](device& b) {
        guarded<T> c(3, 5), dx(3, 4);
        on_device::grouped_linear(b, none.by_token(), x.view(), w0, {}, c.view());
        on_device::grouped_linear(b, no_rows.by_token(), x.view(), w, {}, c.view());
        on_device::grouped_weight_gradient(b, no_rows.by_token(), c.view(), x.view(), w);
        on_device::grouped_weight_gradient(b, none.by_token(), c.view(), x.view(), w0);
        on_device::grouped_input_gradient(b, no_rows.by_row(), c.view(), w, dx.view(), false);
        on_device::grouped_bias_gradient(b, none.by_row(), c.view(), moe::matrix_view<T>());
        on_device::for_rows(b, 0, [&](index_t) { FAIL("a row program without rows was run"); });
        CHECK(c.only_rows_written(0, 0));
        CHECK(dx.only_rows_written(0, 0));
        on_device::grouped_linear(b, some.by_token(), moe::matrix_view<const T>(x.view().data, 11, 0, 7), no_inputs,
                                  bias.view(), c.view());
        CHECK(same_bits<T>(c.view().middle_rows(2, 1), bias.view().middle_rows(1, 1)));
        on_device::grouped_input_gradient(b, some.by_row(), moe::matrix_view<const T>(x.view().data, 3, 0, 7),
                                          no_outputs, dx.view(), false);
        for (index_t i = 0; i < 3; ++i) {
            for (index_t j = 0; j < 4; ++j) CHECK(dx(i, j) == T(0));
        }
    });
}
