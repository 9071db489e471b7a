// The reference backend against the oracle: gates, score steps, key steps.
// SPDX-License-Identifier: Apache-2.0
#include "testing/oracle_support.hpp"

namespace {

// Every kind of scores, with and without padding; `spec(p, z, t)` is what the oracle gives for token t.
template <class Step, class Spec>
void agrees(const Step& step, const Spec& spec, double tolerance = 1e-12) {
    moe::reference b;
    for (const kind how : every_kind) {
        for (const bool masked : {false, true}) {
            const problem p(how, masked);
            check_options(step, p);
            seen at(p);
            moe::matrix<double> scores = p.z;
            (void)moe::detail::value_of([&] { return step.forward(b, at.s, scores.view()); });
            const oracle::table got = values(scores.view());
            const oracle::table z = values(p.z.view());
            for (oracle::id t = 0; t < got.size(); ++t) {
                if (!p.live(t)) continue;
                const oracle::row wanted = spec(p, z, t);
                for (oracle::id e = 0; e < wanted.size(); ++e) {
                    INFO("kind " << int(how) << ", token " << t << ", expert " << e << ", of " << z[t][e] << ", "
                                 << got[t][e] << " for " << wanted[e]);
                    CHECK(close(got[t][e], wanted[e], tolerance));
                }
            }
        }
    }
}
// For steps without anything but the row.
template <class Step, class Spec>
void agrees_by_row(const Step& step, const Spec& spec) {
    agrees(step, [&](const problem&, const oracle::table& z, oracle::id t) { return spec(z[t]); });
}

template <class Gate, class Spec>
void gate_agrees(const Gate& gate, const Spec& spec) {
    moe::reference b;
    for (const bool masked : {false, true}) {
        problem p(kind::normal, masked);
        p.x(0, 0) = std::nan("");
        std::fill_n(&p.x(1, 0), p.x.cols(), 0.0);
        seen at(p);
        moe::matrix<double> logits(problem::tokens, gate.columns());
        (void)moe::detail::value_of([&] { return gate.forward(b, at.s, logits.view()); });
        const oracle::table x = values(p.x.view());
        for (oracle::id t = 0; t < x.size(); ++t) {
            INFO("token " << t);
            if (p.live(t)) CHECK(close(values(logits.view())[t], spec(p, x[t], t)));
        }
    }
}
template <class Tensor>
void fill(Tensor& tensor, std::uint64_t seed) {
    const auto random = moe::testing::random_matrix<double>(tensor.rows(), tensor.cols(), seed);
    std::copy_n(random.data(), random.size(), tensor.data());
}
moe::matrix<std::uint8_t> by_label(bool one_row = false) {
    moe::matrix<std::uint8_t> m(one_row ? 1 : 3, problem::experts);
    for (moe::index_t l = 0; l < m.rows() && l < 2; ++l) {
        for (const moe::index_t e : {l, l + 3}) m(l, e) = 1;
    }
    return m;  // the last of three labels has none
}
oracle::id label_of(const problem& p, oracle::id t) { return oracle::id(p.label[t]); }

}  // namespace

TEST_CASE("gates compute what the oracle computes") {
    moe::linear_gate<double> linear{{.features = 6, .experts = 5, .bias = true}};
    fill(linear.bias, 9);
    const oracle::table w = values(linear.weight)[0];
    gate_agrees(linear, [&](auto&, const oracle::row& x, oracle::id) {
        return oracle::linear_gate(x, w, first_row(linear.bias));
    });
    gate_agrees(moe::frozen_gate{linear}, [&](auto&, const oracle::row& x, oracle::id) {
        return oracle::linear_gate(x, w, first_row(linear.bias));
    });
    moe::linear_gate<double, moe::gate_math::upcast> wide{{.features = 6, .experts = 5}};
    gate_agrees(
        wide, [&](auto&, const oracle::row& x, oracle::id) { return oracle::linear_gate(x, values(wide.weight)[0]); });

    moe::mlp_gate<double> mlp{{.features = 6, .hidden = 3, .experts = 4, .bias = true}};
    fill(mlp.bias_in, 5);
    fill(mlp.bias_out, 6);
    const auto mlp_spec = [](const auto& g, const oracle::row& x, const oracle::function& act) {
        return oracle::mlp_gate(x, values(g.weight_in)[0], first_row(g.bias_in), values(g.weight_out)[0],
                                first_row(g.bias_out), act);
    };
    gate_agrees(mlp, [&](auto&, const oracle::row& x, oracle::id) {
        return mlp_spec(mlp, x, [](double v) { return std::tanh(v); });
    });
    const moe::mlp_gate<double, moe::gelu> gelu{{.features = 6, .hidden = 3, .experts = 4}};
    gate_agrees(gelu, [&](auto&, const oracle::row& x, oracle::id) { return mlp_spec(gelu, x, oracle::gelu); });

    for (const moe::index_t width : {0, 3}) {
        const moe::cosine_gate<double> cosine{
            {.features = 6, .experts = 4, .projection = width, .temperature = 0.07, .epsilon = 0.5}};
        gate_agrees(cosine, [&](auto&, const oracle::row& x, oracle::id) {
            return oracle::cosine_gate(x, values(cosine.weight)[0], 0.07, 0.5,
                                       width == 0 ? oracle::table{} : values(cosine.projection)[0]);
        });
        const moe::product_keys_gate<double> keys{{.features = 6, .experts = 9, .query = width == 0 ? 0 : 4}};
        gate_agrees(keys, [&](auto&, const oracle::row& x, oracle::id) {
            return oracle::product_keys_gate(x, values(keys.first)[0], values(keys.second)[0],
                                             width == 0 ? oracle::table{} : values(keys.query)[0]);
        });
    }
    moe::label_table_gate<double> labels{{.features = 6, .labels = 3, .experts = 5}};
    fill(labels.table, 4);
    gate_agrees(labels, [&](const problem& p, const oracle::row&, oracle::id t) {
        return oracle::label_table_gate(values(labels.table.view()), label_of(p, t));
    });
    gate_agrees(moe::features_through{moe::rms_normalize<double>{}, linear},
                [&](auto&, const oracle::row& x, oracle::id) {
                    return oracle::linear_gate(oracle::rms_normalize(x, 1e-6), w, first_row(linear.bias));
                });
}

TEST_CASE("pooled gates compute what the oracle computes") {
    const std::vector<moe::index_t> expert{1, 0, 1, 3, 1};
    moe::linear_gate<double> gate{{.features = 6, .experts = 5, .bias = true}};
    for (const double shift : {0.0, oracle::infinity, -oracle::infinity}) {
        gate.bias(0, 3) = gate.bias(0, 0) = shift;
        const auto agrees_for = [&](moe::pooling how, oracle::pool spec) {
            INFO("pooling " << int(how) << ", shifted by " << shift);
            gate_agrees(moe::pooled_gate{gate, {.experts = 4, .expert_of_column = expert, .how = how}},
                        [&](auto&, const oracle::row& x, oracle::id) {
                            const oracle::row z = oracle::linear_gate(x, values(gate.weight)[0], first_row(gate.bias));
                            return oracle::pooled_gate(z, {1, 0, 1, 3, 1}, 4, spec);
                        });
        };
        agrees_for(moe::pooling::mean, oracle::pool::mean);
        agrees_for(moe::pooling::max, oracle::pool::max);
        agrees_for(moe::pooling::log_sum_exp, oracle::pool::log_sum_exp);
    }
}

TEST_CASE("scores of one entry or row are those of the oracle") {
    agrees_by_row(moe::softmax{}, oracle::softmax);
    agrees_by_row(moe::sigmoid{}, oracle::sigmoid);
    agrees_by_row(moe::sqrt_softplus{}, oracle::sqrt_softplus);
    agrees_by_row(moe::relu_score{}, oracle::relu_score);
    agrees_by_row(moe::identity_score{}, oracle::identity_score);
    agrees_by_row(moe::temperature{0.3}, [](const oracle::row& z) { return oracle::temperature(z, 0.3); });
    agrees_by_row(moe::soft_cap{2.5}, [](const oracle::row& z) { return oracle::soft_cap(z, 2.5); });
    agrees_by_row(moe::l2_normalize{0.1}, [](const oracle::row& z) { return oracle::l2_normalize(z, 0.1); });
    agrees_by_row(moe::standardize{0.1}, [](const oracle::row& z) { return oracle::standardize(z, 0.1); });
    moe::learned_scale<double> scale{.factor = 3.0};
    scale.scale = -0.4;
    agrees_by_row(scale, [](const oracle::row& z) { return oracle::learned_scale(z, 3.0, -0.4); });
    for (const double theta : {0.7, 9.0}) {
        moe::learned_temperature<double> learned{{.smallest = 0.05}};
        learned.log_scale = theta;
        agrees_by_row(learned, [=](const oracle::row& z) { return oracle::learned_temperature(z, theta, 0.05); });
    }
    moe::rms_normalize<double> rms{{.columns = 6, .epsilon = 0.01}};
    fill(rms.gain, 3);
    agrees_by_row(rms, [&](const oracle::row& z) { return oracle::rms_normalize(z, 0.01, first_row(rms.gain)); });
    moe::logit_bias<double> bias{6};
    fill(bias.bias, 2);
    agrees_by_row(bias, [&](const oracle::row& z) { return oracle::logit_bias(z, first_row(bias.bias)); });
    agrees(moe::side_scores{0.7}, [](const problem& p, const oracle::table& z, oracle::id t) {
        return oracle::side_scores(z[t], values(p.side.view())[t], 0.7);
    });
}

TEST_CASE("noise is that of the oracle on the same draws") {
    agrees(moe::gaussian_noise{.sigma = 0.5}, [](const problem& p, const oracle::table& z, oracle::id t) {
        return oracle::gaussian_noise(z[t], p.draws("gaussian_noise", normal)[t], 0.5);
    });
    agrees(moe::gumbel_noise{.scale = -2.0}, [](const problem& p, const oracle::table& z, oracle::id t) {
        return oracle::gumbel_noise(z[t], p.draws("gumbel_noise", gumbel)[t], -2.0);
    });
    agrees(moe::jitter{.epsilon = 0.3}, [](const problem& p, const oracle::table& z, oracle::id t) {
        return oracle::jitter(z[t], p.draws("jitter", uniform)[t], 0.3);
    });
    moe::learned_noise<double> learned{{.features = 6, .experts = 6, .floor = 0.1}};
    moe::detail::draw_uniform(learned.weight, 5, "w");
    agrees(learned, [&](const problem& p, const oracle::table& z, oracle::id t) {
        return oracle::learned_noise(z[t], p.draws("learned_noise", normal)[t], values(p.x.view())[t],
                                     values(learned.weight)[0], 0.1);
    });
    for (const moe::index_t keep : {1, 4, 6}) {
        agrees(moe::random_expert_mask{.keep = keep, .protect = 1},
               [=](const problem& p, const oracle::table& z, oracle::id t) {
                   oracle::row u;
                   for (std::uint32_t e = 0; e < 6; ++e) u.push_back(p.stream("random_expert_mask").uniform(0, e));
                   return oracle::random_expert_mask(z[t], u, oracle::id(keep), 1);
               });
    }
}

TEST_CASE("masks, pins and steering are those of the oracle") {
    for (const bool one_row : {true, false}) {
        const moe::matrix<std::uint8_t> m = by_label(one_row);
        const auto own = [&, all = values(m)](const problem& p, oracle::id t) {
            return all[one_row ? 0 : label_of(p, t)];
        };
        agrees(moe::expert_mask{m}, [&](const problem& p, const oracle::table& z, oracle::id t) {
            return oracle::expert_mask(z[t], own(p, t));
        });
        agrees(moe::pinned_experts{m, 1.5}, [&](const problem& p, const oracle::table& z, oracle::id t) {
            return oracle::pinned_experts(z[t], own(p, t), 1.5);
        });
        const auto steers = [&](moe::steering how, oracle::push spec) {
            agrees(moe::steer{m, how, 0.4}, [&](const problem& p, const oracle::table& z, oracle::id t) {
                return oracle::steer(z[t], own(p, t), spec, 0.4);
            });
        };
        steers(moe::steering::gain, oracle::push::gain);
        steers(moe::steering::force_in, oracle::push::force_in);
        steers(moe::steering::force_out, oracle::push::force_out);
    }
    for (const bool both : {false, true}) {
        agrees_by_row(moe::group_guidance{by_label(true), 0.2, both}, [&](const oracle::row& z) {
            return oracle::group_guidance(z, values(by_label(true))[0], 0.2, both);
        });
    }
}

TEST_CASE("token_mix mixes as the oracle does") {
    moe::reference b;
    const auto compare = [&](kind how, bool masked) {
        problem p(how, masked);
        p.side = moe::testing::random_matrix<double>(9, 9, 4);
        for (moe::index_t t = 0; t < 9; ++t) p.side(t, (t * 5 + 1) % 9) = 0.0;
        p.in.side = p.side;
        const auto mixed = [&](const auto& step) {
            seen at(p);
            moe::matrix<double> s = p.z;
            step.forward(b, at.s, s.view());
            return values(s.view());
        };
        for (oracle::id t = 0; t < 9; ++t) {
            if (!p.live(t)) continue;
            oracle::row a = values(p.side.view())[t];
            for (oracle::id j = 0; j < 9; ++j) a[j] = p.live(j) ? a[j] : 0.0;
            CHECK(close(mixed(moe::token_mix<>{})[t], oracle::token_mix(values(p.z.view()), a, t, false)));
            CHECK(close(mixed(moe::token_mix<true>{})[t], oracle::token_mix(values(p.z.view()), a, t, true)));
        }
    };
    for (const kind how : {kind::normal, kind::ties, kind::odd}) {
        compare(how, false);
        compare(how, true);
    }
}

TEST_CASE("keys are those of the oracle") {
    agrees_by_row(moe::keys_only{moe::softmax{}}, oracle::softmax);
    moe::selection_bias bias{6};
    for (std::size_t e = 0; e < 6; ++e) bias.bias[e] = 0.5f * float(e) - 1.0f;
    agrees_by_row(bias, [](const oracle::row& z) {
        return oracle::selection_bias(z, {-1.0, -0.5, 0.0, 0.5, 1.0, 1.5});
    });
    for (const double fill : {-oracle::infinity, 0.0}) {
        for (const moe::index_t groups : {1, 2, 3}) {
            for (moe::index_t keep = 1; keep <= groups; ++keep) {
                agrees_by_row(moe::group_limit{groups, keep, 2, fill}, [=](const oracle::row& z) {
                    return oracle::group_limit(z, oracle::id(groups), oracle::id(keep), 2, fill);
                });
            }
        }
    }
}

TEST_CASE("noise is off outside of training") {
    moe::reference b;
    problem p(kind::odd);
    p.in.training = false;
    const auto unchanged = [&](const auto& step) {
        seen at(p);
        moe::matrix<double> s = p.z;
        (void)moe::detail::value_of([&] { return step.forward(b, at.s, s.view()); });
        for (oracle::id t = 0; t < 9; ++t) CHECK(close(values(s.view())[t], values(p.z.view())[t]));
    };
    unchanged(moe::gaussian_noise{});
    unchanged(moe::gumbel_noise{});
    unchanged(moe::jitter{});
    unchanged(moe::learned_noise<double>{{.features = 6, .experts = 6}});
    unchanged(moe::random_expert_mask{.keep = 2});
    unchanged(moe::group_guidance{by_label(true)});
}
