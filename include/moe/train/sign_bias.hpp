// train/balance: plan -> selection bias, the controller of auxiliary-loss-free balancing
// SPDX-License-Identifier: Apache-2.0
//
//     v[e] = mean load - load[e]
//     bias[e] += step * sign(v[e])     rule = sign (the original; 0 stays 0)
//     bias[e] += step * v[e]           rule = proportional (keeps the sum of the biases)
//     step = rate, rate / n or rate / sqrt(n), n = number of the update, from 1
//
// Source: Wang et al. 2024, DeepSeek-V3 (sign, rate 1e-3); the other rules: the primal-dual reading of the same method.
// direction = concentrate turns the sign: busy experts get busier (ExpertCondenser). The load is the number of routes in
// the plan (padding has none), or what the caller gives: a global batch, or sums of scores.
// The bias acts in the choice only (key step selection_bias) and gets no gradient. An even load, or none, changes nothing.
// errors        a load that has not one entry per bias; a rate that is not finite and at least 0
#pragma once

#include <cmath>

#include "moe/core/plan.hpp"
#include "moe/core/storage.hpp"
#include "moe/train/route_counts.hpp"

MOE_BEGIN

enum class bias_rule { sign, proportional };
enum class bias_decay { none, inverse, inverse_square_root };
enum class bias_direction { balance, concentrate };

struct sign_bias {
    double rate = 1e-3;
    bias_rule rule = bias_rule::sign;
    bias_decay decay = bias_decay::none;
    bias_direction direction = bias_direction::balance;
    bool recentre = false;      // subtract the mean of the biases afterwards
    std::uint64_t updates = 0;  // state: how many there were

    void update(std::span<float> bias, const plan_view& plan) {
        const std::size_t experts = static_cast<std::size_t>(plan.experts());
        change(bias, experts, [&](std::size_t e) { return static_cast<double>(plan.count(static_cast<index_t>(e))); });
    }
    void update(std::span<float> bias, std::span<const double> load) {
        change(bias, load.size(), [&](std::size_t e) { return load[e]; });
    }
    // A bias in the memory of another backend is changed in a copy on the host.
    void update(buffer<float>& bias, const plan_view& plan) {
        detail::on_host(bias, [&](buffer<float>& b) { update(b.span(), plan); });
    }
    void update(buffer<float>& bias, std::span<const double> load) {
        detail::on_host(bias, [&](buffer<float>& b) { update(b.span(), load); });
    }
    void update(buffer<float>& bias, const expert_load& load) { update(bias, load.count); }

private:
    template <class Load>
    void change(std::span<float> bias, std::size_t experts, const Load& load) {
        if (!(rate >= 0.0 && rate < 1e300)) throw_value("sign_bias.rate", "at least 0", std::to_string(rate));
        detail::require_size("sign_bias: bias", bias, experts);
        if (bias.empty()) return;
        double mean = 0.0;
        for (std::size_t e = 0; e < experts; ++e) mean += load(e);
        mean /= static_cast<double>(experts);
        const double step = (direction == bias_direction::balance ? rate : -rate) / slowed(++updates);
        for (std::size_t e = 0; e < experts; ++e) {
            const double v = mean - load(e);
            const double toward = rule == bias_rule::proportional ? v : static_cast<double>((v > 0.0) - (v < 0.0));
            bias[e] = static_cast<float>(static_cast<double>(bias[e]) + step * toward);
        }
        if (recentre) subtract_mean(bias);
    }

    double slowed(std::uint64_t n) const {
        if (decay == bias_decay::inverse) return static_cast<double>(n);
        if (decay == bias_decay::inverse_square_root) return std::sqrt(static_cast<double>(n));
        return 1.0;
    }

    static void subtract_mean(std::span<float> bias) {
        double sum = 0.0;
        for (const float b : bias) sum += static_cast<double>(b);
        const float mean = static_cast<float>(sum / static_cast<double>(bias.size()));
        for (float& b : bias) b -= mean;
    }
};

MOE_END
