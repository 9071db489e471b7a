// The reference backend against the oracle: activations, banks, combines, shared experts.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_weights.hpp"

namespace {

template <class A, class F>
void activation_agrees(const A& a, const F& f) {
    const double nan = std::nan("");
    for (const double g : {-30.0, -2.0, -0.5, -0.0, 0.0, 0.3, 1.0, 2.5, 40.0, nan}) {
        for (const double u : {-30.0, -1.0, 0.0, 0.7, 3.0, nan}) {
            INFO("g " << g << ", u " << u);
            if constexpr (moe::is_gated<A>)
                CHECK(close(a.template value<moe::scalar_math>(g, u), f(g, u)));
            else
                CHECK(close(a.template value<moe::scalar_math>(u), f(u)));
        }
    }
}

// Routes of a problem with padding: two slots per token, some dead, some experts without rows.
struct routed_problem {
    problem p{kind::normal, true};
    std::vector<double> weight;
    moe::arena memory;
    moe::routing<double> s;
    moe::plan_view plan;
    moe::reference b;

    explicit routed_problem(moe::index_t experts) {
        const auto w = moe::testing::random_matrix<double>(9, 2, 3);
        for (std::size_t i = 0; i < p.replay_expert.size(); ++i) {
            moe::index_t& e = p.replay_expert[i];
            e = !p.live(i / 2) || e >= experts ? -1 : e;
            weight.push_back(e < 0 ? 0.0 : w.data()[i]);
        }
        s.batch_of_call = &p.in;
        s.experts = experts;
        s.memory = &memory;
        s.routes = {p.replay_offset, p.replay_expert, weight, 2};
        plan = moe::kernels_of<moe::reference>::build_plan(b, 9, experts, p.replay_offset, p.replay_expert, memory);
    }
    oracle::row x(oracle::id t) const { return values(p.x.view())[t]; }
    oracle::routed of(oracle::id t) const {
        oracle::routed r;
        for (oracle::id j = 0; j < 2; ++j) {
            const moe::index_t e = p.replay_expert[2 * t + j];
            if (e >= 0) r.push_back({oracle::id(e), weight[2 * t + j], j, t});
        }
        return r;
    }
    // Every row of a bank is spec(route, x).
    template <class Bank, class Spec>
    void check_rows(const Bank& bank, const Spec& spec) {
        moe::matrix<double> rows(plan.rows(), moe::detail::bank_outputs(bank));
        (void)moe::detail::value_of([&] { return bank.forward(b, s, plan, rows.view()); });
        oracle::id checked = 0;
        for (oracle::id t = 0; t < 9; ++t) {
            for (const oracle::route& r : of(t)) {
                INFO("token " << t << ", expert " << r.expert);
                CHECK(close(values(rows.view())[oracle::id(plan.row[2 * t + r.slot])], spec(r, x(t))));
                ++checked;
            }
        }
        CHECK(checked > 6);
    }
    // The output of a combine on rows of any kind; masked tokens give zeros.
    template <class Combine, class Spec>
    void check_combine(const Combine& combine, const Spec& spec) {
        const auto rows = moe::testing::random_matrix<double>(plan.rows(), 4, 17);
        moe::matrix<double> y(9, combine.outputs(4));
        (void)moe::detail::value_of([&] { return combine.forward(b, s, plan, rows.view(), y.view()); });
        for (oracle::id t = 0; t < 9; ++t) {
            oracle::table own;
            for (const oracle::route& r : of(t))
                own.push_back(values(rows.view())[oracle::id(plan.row[2 * t + r.slot])]);
            INFO("token " << t);
            CHECK(close(values(y.view())[t], p.live(t) ? spec(of(t), own) : oracle::row(oracle::id(y.cols()))));
        }
    }
    template <class Shared, class Spec>
    void check_shared(const Shared& shared, const Spec& spec) {
        const auto before = moe::testing::random_matrix<double>(9, 6, 18);
        moe::matrix<double> y = before;
        for (oracle::id t = 0; t < 9; ++t) {
            if (!p.live(t)) std::fill_n(&y(moe::index_t(t), 0), 6, 0.0);
        }
        (void)moe::detail::value_of([&] { return shared.forward(b, s, y.view()); });
        for (oracle::id t = 0; t < 9; ++t) {
            INFO("token " << t);
            CHECK(close(values(y.view())[t], p.live(t) ? spec(values(before.view())[t], x(t)) : oracle::row(6)));
        }
    }
};

template <class Activation>
auto bank_of(bool bias, moe::index_t experts = 5, std::uint64_t seed = 1) {
    moe::ffn_bank<double, Activation> bank{
        {.features = 6, .hidden = 3, .experts = experts, .bias = bias, .seed = seed}};
    randomise(bank, seed);
    return bank;
}
const auto plain_gelu = plain(oracle::gelu);

}  // namespace

TEST_CASE("activations compute what the oracle computes") {
    activation_agrees(moe::relu{}, oracle::relu);
    activation_agrees(moe::relu_squared{}, oracle::relu_squared);
    activation_agrees(moe::gelu{}, oracle::gelu);
    activation_agrees(moe::gelu_tanh{}, oracle::gelu_tanh);
    activation_agrees(moe::silu{}, oracle::silu);
    activation_agrees(moe::identity_activation{}, oracle::identity_activation);
    activation_agrees(moe::scaled_linear{-1.5}, [](double z) { return oracle::scaled_linear(z, -1.5); });
    activation_agrees(moe::gated<moe::relu>{}, [](double g, double u) { return oracle::gated(g, u, oracle::relu); });
    activation_agrees(moe::scaled_swiglu{{.alpha = 1.702, .limit = 2.0}},
                      [](double g, double u) { return oracle::scaled_swiglu(g, u, 1.702, 2.0); });
    activation_agrees(moe::clamp_before_swiglu{{.limit = 2.0}},
                      [](double g, double u) { return oracle::clamp_before_swiglu(g, u, 2.0); });
    activation_agrees(moe::clamp_after_swiglu{{.limit = 2.0}},
                      [](double g, double u) { return oracle::clamp_after_swiglu(g, u, 2.0); });
    activation_agrees(moe::situ{{.beta = 2.0, .lambda = 1.5}},
                      [](double g, double u) { return oracle::situ(g, u, 2.0, 1.5); });
}

TEST_CASE("feed-forward banks and what wraps them compute what the oracle computes") {
    routed_problem p(5);
    for (const bool bias : {false, true}) {
        const auto plain = bank_of<moe::gelu>(bias);
        p.check_rows(plain, [&](const auto& r, const oracle::row& x) {
            return oracle::ffn_bank(weights_of(plain, plain_gelu), r.expert, x);
        });
        const auto gated = bank_of<moe::gated<moe::silu>>(bias);
        const oracle::ffn w = weights_of(gated, swiglu);
        const auto spec = [&](const auto& r, const oracle::row& x) { return oracle::ffn_bank(w, r.expert, x); };
        p.check_rows(gated, spec);
        p.check_rows(moe::frozen{gated}, spec);
        p.check_rows(moe::recompute{gated}, spec);
        p.check_rows(moe::borrow(gated), spec);
        p.check_rows(moe::weigh_hidden{gated}, [&](const auto& r, const oracle::row& x) {
            return oracle::weigh_hidden(w, r.expert, x, r.weight);
        });
        const oracle::bank bank = [&](oracle::id e, const oracle::row& x) { return oracle::ffn_bank(w, e, x); };
        p.check_rows(moe::weigh_input{gated}, [&](const auto& r, const oracle::row& x) {
            return oracle::weigh_input(bank, r.expert, x, r.weight);
        });
        moe::lora_bank lora{gated, {.rank = 2, .alpha = 3.0, .gate = bias}};
        randomise(lora, 7);
        oracle::ffn adapted = weights_of(lora.bank, swiglu);
        adapted.alpha = 3.0;
        const auto adapt = [](oracle::weight& to, const auto& adapter) {
            to.a = values(adapter.a);
            to.b = values(adapter.b);
        };
        adapt(adapted.gate, lora.gate);
        adapt(adapted.up, lora.up);
        adapt(adapted.down, lora.down);
        p.check_rows(lora,
                     [&](const auto& r, const oracle::row& x) { return oracle::lora_bank(adapted, r.expert, x); });
    }
    moe::low_rank_bank<double> low{{.features = 6, .rank = 2, .experts = 5, .alpha = 5.0}};
    randomise(low, 3);
    p.check_rows(low, [&](const auto& r, const oracle::row& x) {
        return oracle::low_rank_bank(values(low.up), values(low.down), 5.0, r.expert, x);
    });
    const moe::rank_one_bank<double, moe::silu> thin{{.features = 6, .experts = 5, .outputs = 4}};
    p.check_rows(thin, [&](const auto& r, const oracle::row& x) {
        return oracle::rank_one_bank(values(thin.in.view()), values(thin.out.view()), oracle::silu, r.expert, x);
    });
    const moe::latent_input latent{moe::rank_one_bank<double, moe::silu>{{.features = 3, .experts = 5}},
                                   {.features = 6, .seed = 3}};
    const oracle::bank inner = [&](oracle::id e, const oracle::row& x) {
        return oracle::rank_one_bank(values(latent.bank.in.view()), values(latent.bank.out.view()), oracle::silu, e, x);
    };
    p.check_rows(latent, [&](const auto& r, const oracle::row& x) {
        return oracle::latent_input(inner, values(latent.projection)[0], r.expert, x);
    });
}

TEST_CASE("simple banks, and banks of banks, compute what the oracle computes") {
    routed_problem p(6);
    const auto gated = bank_of<moe::gated<moe::silu>>(true, 2);
    const auto second = bank_of<moe::gated<moe::silu>>(false, 2, 9);
    moe::constant_bank<double> constant{{.features = 6, .experts = 2}};
    randomise(constant, 3);
    const auto twice = [](moe::index_t e, moe::matrix_view<const double> x, moe::matrix_view<double> y) {
        for (moe::index_t i = 0; i < x.rows; ++i) {
            for (moe::index_t j = 0; j < x.cols; ++j) y(i, j) = x(i, j) * e;
        }
    };
    const moe::banks all{gated, moe::null_bank<double>{{.features = 6, .experts = 1}},
                         moe::identity_bank<double>{{.features = 6, .experts = 1}}, constant};
    const oracle::bank first = [&](oracle::id e, const oracle::row& x) {
        return oracle::ffn_bank(weights_of(gated, swiglu), e, x);
    };
    const oracle::bank other = [&](oracle::id e, const oracle::row& x) {
        return oracle::ffn_bank(weights_of(second, swiglu), e, x);
    };
    const oracle::bank nothing = [](oracle::id, const oracle::row&) { return oracle::null_bank(6); };
    const oracle::bank same = [](oracle::id, const oracle::row& x) { return oracle::identity_bank(x); };
    const oracle::bank fixed = [&](oracle::id e, const oracle::row&) {
        return oracle::constant_bank(values(constant.value.view()), e);
    };
    const oracle::bank last = [&](oracle::id e, const oracle::row& x) { return oracle::banks(same, 1, fixed, e, x); };
    const oracle::bank behind = [&](oracle::id e, const oracle::row& x) {
        return oracle::banks(nothing, 1, last, e, x);
    };
    p.check_rows(all,
                 [&](const auto& r, const oracle::row& x) { return oracle::banks(first, 2, behind, r.expert, x); });
    const moe::callable_bank<double, decltype(twice)> called{{.features = 6, .experts = 6}, twice};
    p.check_rows(called, [](const auto& r, const oracle::row& x) { return oracle::scale(x, double(r.expert)); });
    routed_problem two(2);
    moe::reference b;
    moe::matrix<double> rows(two.plan.rows(), 6);
    const moe::bank_sum sum{gated, second};
    (void)moe::detail::value_of([&] { return sum.forward(b, two.s, two.plan, rows.view()); });
    for (oracle::id t = 0; t < 9; ++t) {
        for (const oracle::route& r : two.of(t)) {
            const oracle::row got = values(rows.view())[oracle::id(two.plan.row[2 * t + r.slot])];
            CHECK(close(got, oracle::bank_sum(first, other, r.expert, two.x(t))));
        }
    }
}

TEST_CASE("merged experts compute what the oracle computes from merged weights") {
    routed_problem p(5);
    for (const bool bias : {false, true}) {
        const auto gated = bank_of<moe::gated<moe::silu>>(bias);
        const auto check = [&](const auto& bank, const oracle::ffn& w) {
            moe::matrix<double> rows(p.plan.rows(), 6), y(9, 6);
            (void)bank.forward(p.b, p.s, p.plan, rows.view());
            moe::weighted_sum{}.forward(p.b, p.s, p.plan, rows.view(), y.view());
            for (oracle::id t = 0; t < 9; ++t) {
                if (!p.of(t).empty()) CHECK(close(values(y.view())[t], oracle::soft_merge_bank(w, p.of(t), p.x(t))));
            }
        };
        check(moe::soft_merge_bank{gated}, weights_of(gated, swiglu));
        const auto plain = bank_of<moe::gelu>(bias);
        check(moe::soft_merge_bank{plain}, weights_of(plain, plain_gelu));
    }
}

TEST_CASE("combines compute what the oracle computes") {
    routed_problem p(6);
    p.check_combine(moe::weighted_sum{},
                    [](const auto& r, const auto& rows) { return oracle::weighted_sum(r, rows, 4); });
    p.check_combine(moe::row_sum{}, [](const auto& r, const auto& rows) { return oracle::row_sum(r, rows, 4); });
    p.check_combine(moe::scaled_sum{-2.5},
                    [](const auto& r, const auto& rows) { return oracle::scaled_sum(r, rows, 4, -2.5); });
    moe::biased_sum<double> biased{{.outputs = 4}};
    randomise(biased, 2);
    p.check_combine(
        biased, [&](const auto& r, const auto& rows) { return oracle::biased_sum(r, rows, first_row(biased.bias)); });
    const moe::projected_sum<double> projected{{.inputs = 4, .outputs = 3}};
    p.check_combine(projected, [&](const auto& r, const auto& rows) {
        return oracle::projected_sum(r, rows, values(projected.projection)[0]);
    });
    for (const bool weighted : {false, true}) {
        p.check_combine(moe::concat{3, weighted},
                        [=](const auto& r, const auto& rows) { return oracle::concat(r, rows, 4, 3, weighted); });
    }
}

TEST_CASE("shared experts compute what the oracle computes") {
    routed_problem p(6);
    const auto two = bank_of<moe::gated<moe::silu>>(true, 2);
    const oracle::bank bank = [&](oracle::id e, const oracle::row& x) {
        return oracle::ffn_bank(weights_of(two, swiglu), e, x);
    };
    p.check_shared(moe::shared{two}, [&](const auto& y, const auto& x) { return oracle::shared(y, bank, 2, x); });
    p.check_shared(moe::averaged_shared{two},
                   [&](const auto& y, const auto& x) { return oracle::averaged_shared(y, bank, 2, x); });
    const moe::gated_shared gated{two, {.seed = 4}};
    p.check_shared(gated, [&](const auto& y, const auto& x) {
        return oracle::gated_shared(y, bank, 2, x, values(gated.gate.weight)[0][0]);
    });
    moe::coefficient_shared mixed{two, {.seed = 4}};
    mixed.coefficient.bias(0, 0) = 0.7;
    p.check_shared(mixed, [&](const auto& y, const auto& x) {
        return oracle::coefficient_shared(y, bank, 2, x, values(mixed.coefficient.weight)[0],
                                          first_row(mixed.coefficient.bias));
    });
}
