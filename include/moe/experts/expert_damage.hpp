// experts/expert_damage: what the output of a layer loses where one expert alone is kept in fewer bits
// SPDX-License-Identifier: Apache-2.0
//
//     damage(e) = || Y - Y(e in fewer bits) ||_F = sqrt(sum over routes r of e of  w_r^2 || row_r - row'_r ||^2)
//
// where the layer sums its rows by weight, as weighted_sum does. Absolute, so that damages of several batches add up
// and compare between experts and widths: the costs that allocate_bits takes (experts/allocate_bits.hpp). As in
// experts/quantization_report.hpp both banks multiply in float. An expert without routes: 0. Source: MC# 2025 and
// EdgeMoE 2023, which quantise one expert at a time and run the layer; the sum above is the same at the cost of two
// forwards. damage is NaN where weights are too large for a format.
// errors        banks, x, plan or weights that do not fit one another: shape_error; x that is not finite: value_error
#pragma once

#include "moe/experts/allocate_bits.hpp"
#include "moe/experts/quantize_bank.hpp"

MOE_BEGIN

// The damage of every expert [E]. x [T,D] and plan: a calibration batch; weight [slots]: of its routes; empty: all 1.
template <class B, class A, class Storage>
std::vector<double> expert_damage(B& b, const ffn_bank<float, A>& bank, const ffn_bank<float, A, Storage>& other,
                                  input_view<float> x, const plan_view& plan, std::span<const float> weight = {}) {
    detail::check_calibration(bank.features(), bank.experts(), x, plan);
    detail::check_same_shape("expert_damage", bank, other);
    if (!weight.empty()) detail::require_size("expert_damage: weights", weight, plan.row.size());
    const auto wanted = detail::rows_of(b, bank, x, plan);
    const auto got = detail::rows_of(b, dequantize_bank(other), x, plan);
    std::vector<double> damage(std::size_t(bank.experts()), 0.0);
    for (index_t e = 0; e < bank.experts(); ++e) {
        double sum = 0;
        for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
            detail::squares row;
            for (index_t n = 0; n < bank.outputs(); ++n) row.add(wanted.out(r, n), got.out(r, n));
            const double w = weight.empty() ? 1.0 : double(weight[std::size_t(plan.slot[std::size_t(r)])]);
            sum += w * w * row.error;
        }
        damage[std::size_t(e)] = std::sqrt(sum);
    }
    return damage;
}

// The damage [E, number of storages] of every expert in each of some storages, their scales searched on the same batch.
template <class... Storages, class B, class A>
matrix<double> expert_damages(B& b, const ffn_bank<float, A>& bank, input_view<float> x, const plan_view& plan,
                              std::span<const float> weight = {}) {
    matrix<double> all(bank.experts(), static_cast<index_t>(sizeof...(Storages)));
    index_t column = 0;
    const auto fill = [&](const std::vector<double>& damage) {
        for (index_t e = 0; e < bank.experts(); ++e) all(e, column) = damage[std::size_t(e)];
        ++column;
    };
    (fill(expert_damage(b, bank, quantize_bank<Storages>(b, bank, x, plan).bank, x, plan, weight)), ...);
    return all;
}

// outlier_score of every expert [E], the largest of its matrices. Source: QuantMoE-Bench 2024, which scores matrices.
template <class A, class Storage>
std::vector<double> outlier_scores(const ffn_bank<float, A, Storage>& bank) {
    std::vector<double> scores(std::size_t(bank.experts()), 0.0);
    for (index_t e = 0; e < bank.experts(); ++e) {
        double& largest = scores[std::size_t(e)];
        detail::for_each_product([&](const auto& w) {
            largest = std::max(largest, outlier_score(detail::decoded_matrix(w, e).view()));
        }, bank);
    }
    return scores;
}

MOE_END
