// The reference is the oracle of the other backends, so it is held against numbers worked out by hand.
#include "backend/problem.hpp"

using namespace test;

namespace {

// Two groups: rows 0 and 1 read input rows 2 and 0, row 2 reads input row 1. N = 2 outputs, K = 3 inputs.
struct small {
    std::vector<index_t> offset{0, 2, 3};
    std::vector<index_t> gather{2, 0, 1};
    moe::panels<double> w{2, 2, 3};
    moe::matrix<double> x{3, 3}, bias{2, 2};

    small() {
        const double first[] = {1, 2, 3, 4, 5, 6}, second[] = {-1, 0, 1, 0, 2, 0};
        w.assign(0, moe::matrix_view<const double>(first, 2, 3));
        w.assign(1, moe::matrix_view<const double>(second, 2, 3));
        const double rows[] = {1, 0, 2, 3, 1, 4, 0, 1, 1};
        std::copy_n(rows, 9, x.data());
        const double b[] = {0.5, -0.5, 10, 20};
        std::copy_n(b, 4, bias.data());
    }
    moe::row_groups by_token() const { return {offset, gather}; }
    moe::row_groups by_row() const { return {offset, {}}; }
};

template <class T>
bool equals(const moe::matrix<T>& m, const std::vector<double>& wanted) {
    if (m.size() != wanted.size()) return false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (static_cast<double>(m.span()[i]) != wanted[i]) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("reference: the grouped product multiplies gathered rows with the weights of their group") {
    const small s;
    moe::reference b;
    moe::matrix<double> c(3, 2);
    on_reference::grouped_linear(b, s.by_token(), s.x.view(), s.w, {}, c.view());
    CHECK(equals(c, {5, 11, 7, 16, 1, 2}));
    on_reference::grouped_linear(b, s.by_token(), s.x.view(), s.w, s.bias.view(), c.view());
    CHECK(equals(c, {5.5, 10.5, 7.5, 15.5, 11, 22}));
    on_reference::grouped_linear(b, s.by_row(), s.x.view(), s.w, {}, c.view());
    CHECK(equals(c, {7, 16, 17, 41, 1, 2}));
}

TEST_CASE("reference: activations see product and bias; the argument is recorded where asked for") {
    const small s;
    moe::reference b;
    moe::matrix<double> h(3, 2), z(3, 2), z_up(3, 2);
    moe::matrix<double> bias(2, 2);
    bias(0, 0) = -6;
    on_reference::grouped_activation(b, s.by_token(), s.x.view(), s.w, bias.view(), moe::relu{}, h.view(), z.view());
    CHECK(equals(z, {-1, 11, 1, 16, 1, 2}));
    CHECK(equals(h, {0, 11, 1, 16, 1, 2}));
    on_reference::grouped_gated_activation(b, s.by_token(), s.x.view(), s.w, s.w, bias.view(), {},
                                           moe::gated<moe::relu>{}, h.view(), z.view(), z_up.view());
    CHECK(equals(z, {-1, 11, 1, 16, 1, 2}));
    CHECK(equals(z_up, {5, 11, 7, 16, 1, 2}));
    CHECK(equals(h, {0, 121, 7, 256, 1, 4}));
}

TEST_CASE("reference: the gradients of the grouped product") {
    const small s;
    moe::reference b;
    moe::matrix<double> dc(3, 2), da(3, 3), db(2, 2);
    const double values[] = {1, 2, 0, 1, 3, -1};
    std::copy_n(values, 6, dc.data());
    on_reference::grouped_input_gradient(b, s.by_row(), dc.view(), s.w, da.view(), false);
    CHECK(equals(da, {9, 12, 15, 4, 5, 6, -3, -2, 3}));
    on_reference::grouped_input_gradient(b, s.by_row(), dc.view(), s.w, da.view(), true);
    CHECK(equals(da, {18, 24, 30, 8, 10, 12, -6, -4, 6}));
    moe::panels<double> dw(2, 2, 3);
    dw(1, 1, 1) = 100;
    on_reference::grouped_weight_gradient(b, s.by_token(), dc.view(), s.x.view(), dw);
    moe::matrix<double> group(2, 3);
    dw.read(0, group.view());
    CHECK(equals(group, {0, 1, 1, 1, 2, 4}));
    dw.read(1, group.view());
    CHECK(equals(group, {9, 3, 12, -3, 99, -4}));
    db(0, 0) = 7;
    on_reference::grouped_bias_gradient(b, s.by_row(), dc.view(), db.view());
    CHECK(equals(db, {8, 3, 3, -1}));
}

TEST_CASE("reference: activation gradients are upstream times derivative") {
    moe::reference b;
    const std::vector<index_t> offset{1, 2};
    moe::matrix<double> z(2, 2), up(2, 2), dh(2, 2), d_gate(2, 2), d_up(2, 2);
    const double zs[] = {1, 1, -1, 2}, ups[] = {0, 0, 5, 7}, dhs[] = {9, 9, 3, 4};
    std::copy_n(zs, 4, z.data());
    std::copy_n(ups, 4, up.data());
    std::copy_n(dhs, 4, dh.data());
    on_reference::gated_activation_gradient(b, {offset, {}}, z.view(), up.view(), dh.view(), moe::gated<moe::relu>{},
                                            d_gate.view(), d_up.view());
    CHECK(equals(d_gate, {0, 0, 0, 28}));
    CHECK(equals(d_up, {0, 0, 0, 8}));
    on_reference::activation_gradient(b, {offset, {}}, z.view(), moe::relu_squared{}, dh.view());
    CHECK(equals(dh, {9, 9, 0, 16}));
}

TEMPLATE_TEST_CASE("a plan groups live slots by expert and keeps their order", "", moe::reference, moe::cpu) {
    TestType b;
    moe::arena memory;
    const std::vector<index_t> offset{0, 2, 2, 5, 6}, expert{2, 0, 0, -1, 2, 2};
    const moe::plan_view p = moe::kernels_of<TestType>::build_plan(b, 4, 4, offset, expert, memory);
    const auto is = [](std::span<const index_t> s, const std::vector<index_t>& wanted) {
        return std::vector<index_t>(s.begin(), s.end()) == wanted;
    };
    CHECK(p.tokens == 4);
    CHECK(is(p.offset, {0, 2, 2, 5, 5}));
    CHECK(is(p.token, {0, 2, 0, 2, 3}));
    CHECK(is(p.slot, {1, 2, 0, 4, 5}));
    CHECK(is(p.row, {2, 0, 1, -1, 3, 4}));
    CHECK(is(p.token_offset, {0, 2, 2, 4, 5}));
    CHECK(is(p.token_row, {0, 2, 1, 3, 4}));
    const std::vector<index_t> no_tokens{0};
    const moe::plan_view none = moe::kernels_of<TestType>::build_plan(b, 0, 3, no_tokens, {}, memory);
    CHECK(is(none.offset, {0, 0, 0, 0}));
    CHECK(none.rows() == 0);
    CHECK(is(none.token_offset, {0}));
}

TEST_CASE("reference: the weighted sum and its gradients") {
    moe::reference b;
    moe::arena memory;
    const std::vector<index_t> offset{0, 2, 2, 5, 6}, expert{2, 0, 0, -1, 2, 2};
    const moe::plan_view p = on_reference::build_plan(b, 4, 4, offset, expert, memory);
    moe::matrix<double> rows(5, 1), y(4, 1), d_rows(5, 1), dy(4, 1);
    const double values[] = {1, 10, 100, 1000, 10000}, upstream[] = {2, 3, 5, 7};
    std::copy_n(values, 5, rows.data());
    std::copy_n(upstream, 4, dy.data());
    const std::vector<double> weight{1, 2, 3, 99, 4, 5};
    std::vector<double> d_weight(6, 0.5);
    on_reference::weighted_sum(b, p, rows.view(), weight, y.view(), false);
    CHECK(equals(y, {102, 0, 4030, 50000}));
    on_reference::weighted_sum(b, p, rows.view(), {}, y.view(), true);
    CHECK(equals(y, {203, 0, 5040, 60000}));
    on_reference::weighted_sum(b, p.experts_range(2, 1), rows.view(), weight, y.view(), false);
    CHECK(equals(y, {100, 0, 4000, 50000}));
    on_reference::weighted_sum_gradient(b, p, rows.view(), weight, dy.view(), d_rows.view(), d_weight);
    CHECK(equals(d_rows, {4, 15, 2, 20, 35}));
    CHECK(d_weight == std::vector<double>{200.5, 2.5, 50.5, 0.5, 5000.5, 70000.5});
}
