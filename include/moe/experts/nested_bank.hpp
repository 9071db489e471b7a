// experts/nested_bank: a bank of 8 bits a weight that serves as banks of 4 and 2
// SPDX-License-Identifier: Apache-2.0
//
//     auto [nested, report] = moe::quantize_nested<32>(cpu, bank, x, tape.plan(), {.bits_8 = 1, .bits_4 = 1});
//     auto nested = moe::quantize_bank<moe::int8_weights<32>>(bank);      or any other bank of 8 bits
//     auto of_4 = moe::prefix_bank<4>(nested);                            upper bits, int4_zero_weights<32>
//     auto of_2 = moe::prefix_bank<2>(nested);                            int2_zero_weights<32>
//
// core/nested_codes.hpp says what a prefix stands for. Prefixes are banks like any other, with panels of their own:
// one expert in 8 bits and the next in 2 stand side by side in moe::banks. Biases and the activation are those of the
// bank. The search weighs inputs as quantize_bank does, and as there each expert keeps searched scales only where they
// err less than rounding to nearest: in the sum over widths of importance * output error^2.
// errors        as quantize_bank; an importance below 0, NaN or infinite: value_error
// cost          three times that of quantize_bank; prefix_bank looks at each weight once
#pragma once

#include "moe/core/nested_codes.hpp"
#include "moe/experts/quantize_bank.hpp"

MOE_BEGIN

template <int bits, class A, index_t group>
ffn_bank<float, A, prefix_weights<bits, group>> prefix_bank(const ffn_bank<float, A, int8_weights<group>>& bank) {
    auto to = detail::bank_like<prefix_weights<bits, group>>(bank);
    detail::for_each_product([](const auto& w, auto& prefix) { prefix = prefix_of<bits>(w); }, bank, to);
    return to;
}

// What each width costs every expert.
struct nested_report {
    quantization_report bits_8, bits_4, bits_2;
};

// Compares a bank with all widths of a nested one on the rows x [T,D] that a plan sends to each expert.
template <class B, class A, index_t group>
nested_report measure_nested(B& b, const ffn_bank<float, A>& bank,
                             const ffn_bank<float, A, int8_weights<group>>& nested, input_view<float> x,
                             const plan_view& plan) {
    return {measure_quantization(b, bank, nested, x, plan),
            measure_quantization(b, bank, prefix_bank<4>(nested), x, plan),
            measure_quantization(b, bank, prefix_bank<2>(nested), x, plan)};
}

namespace detail {

inline void check_importance(const width_importance& importance) {
    const auto check = [](const char* width, double value) {
        if (value >= 0 && std::isfinite(value)) return;
        throw_value(std::string("quantize_nested: importance of ") + width + " bits", "a finite number of at least 0",
                    std::to_string(value));
    };
    check("8", importance.bits_8);
    check("4", importance.bits_4);
    check("2", importance.bits_2);
}

inline double joint_error(const nested_report& report, const width_importance& importance, std::size_t expert) {
    double sum = 0;
    for_each_width(importance, [&](auto bits, double counts) {
        const auto& of_width = bits == 8 ? report.bits_8 : bits == 4 ? report.bits_4 : report.bits_2;
        sum += counts * std::pow(of_width.experts[expert].output_error, 2);
    });
    return sum;
}

}  // namespace detail

template <class Bank>
struct nested_bank {
    Bank bank;  // of 8 bits
    nested_report report;
};

// Scales searched for all widths on the rows x [T,D] that a plan sends to each expert.
template <index_t group, class B, class A>
nested_bank<ffn_bank<float, A, int8_weights<group>>> quantize_nested(B& b, const ffn_bank<float, A>& bank,
                                                                     input_view<float> x, const plan_view& plan,
                                                                     const width_importance& importance) {
    detail::check_importance(importance);
    detail::check_calibration(bank.features(), bank.experts(), x, plan);
    auto to = quantize_bank<int8_weights<group>>(bank);
    const nested_report nearest = measure_nested(b, bank, to, x, plan);
    const auto hidden = detail::rows_of(b, bank, x, plan).hidden;
    for (index_t e = 0; e < bank.experts(); ++e) {
        if (plan.count(e) == 0) continue;
        detail::assign_searched(bank, to, e, x, hidden, plan, [&](const auto& weights, const auto& moments) {
            return nested_scale<group>(weights, moments, importance);
        });
    }
    nested_report report = measure_nested(b, bank, to, x, plan);
    for (std::size_t e = 0; e < report.bits_8.experts.size(); ++e) {
        const bool better = detail::joint_error(report, importance, e) < detail::joint_error(nearest, importance, e);
        for (const auto width : {&nested_report::bits_8, &nested_report::bits_4, &nested_report::bits_2}) {
            auto& expert = (report.*width).experts[e];
            if (better) expert.scales = scale_origin::searched;
            else expert = (nearest.*width).experts[e];
        }
        if (!better) detail::copy_expert(bank, to, static_cast<index_t>(e));
    }
    return {std::move(to), std::move(report)};
}

MOE_END
