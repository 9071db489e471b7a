// transform/smooth_channels: one scale per input channel, taken from the activations into all weights that read them
// SPDX-License-Identifier: Apache-2.0
//
//     s_j = max over readers i of (max over rows t of i of |x_tj|)^a / (max over outputs r of i of |W^i_rj|)^(1 - a)
//
//     const auto s = moe::channel_scales(bank, gate.weight, x, plan);    readers: every expert and the router
//     moe::multiply_channels(bank, s);                                   gate and up; likewise every other reader of x
//     moe::multiply_channels(gate.weight, s);
//     moe::divide_channels(norm_gain, s);                                x becomes x / s
//
// x loses the channels that stand out, which 8 bits a row hold badly, and the weights take them over. Products stay
// what they were: the same logits, routes and outputs, up to rounding, and in the same bits with `powers_of_two`,
// where nothing over- or underflows. Experts that are seldom chosen count as much as others, so none of them is left
// with a channel that stands out for it alone. An expert's rows are those of the plan, its W are gate and up, one
// above the other; the router's are all rows of x. A reader for which a channel is 0 throughout, in x or in W, has no
// say in its scale; a channel that is 0 for all keeps 1. Source: EAQuant 2025; a = 1/2 as in SmoothQuant 2023; the
// least scale is ours.
// errors        x and plan that do not fit the bank, or scales that do not fit what they are for: shape_error; options
//               out of their range, x or scales that are not finite: value_error. Weights that are NaN do not count
// cost          one reading of the weights and of the rows of the plan
#pragma once

#include "moe/experts/quantize_bank.hpp"

MOE_BEGIN

struct smoothing_options {
    double balance = 0.5;        // a: 0 leaves the unevenness to x, 1 to the weights
    double least = 1e-5;         // of a scale
    bool powers_of_two = false;  // rounds scales, so that all that is folded keeps its bits
};

namespace detail {

template <class T>
std::vector<double> largest_inputs(matrix_view<const T> x, const row_groups& rows, index_t group) {
    std::vector<double> largest(std::size_t(x.cols), 0.0);
    for (index_t r = rows.begin(group); r < rows.end(group); ++r) {
        for (index_t j = 0; j < x.cols; ++j) {
            largest[std::size_t(j)] = std::max(largest[std::size_t(j)], std::abs(double(x(rows.source(r), j))));
        }
    }
    return largest;
}

template <class T>
void raise_to_weights(const panels<T>& w, index_t group, std::vector<double>& largest) {
    for (index_t n = 0; n < w.outputs(); ++n) {
        for (index_t k = 0; k < w.inputs(); ++k) {
            largest[std::size_t(k)] = std::max(largest[std::size_t(k)], std::abs(double(w(group, n, k))));
        }
    }
}

inline void raise_scales(std::vector<double>& scales, const std::vector<double>& x, const std::vector<double>& w,
                         double balance) {
    for (std::size_t j = 0; j < scales.size(); ++j) {
        if (!(x[j] > 0) || !(w[j] > 0)) continue;
        scales[j] = std::max(scales[j], std::pow(x[j], balance) / std::pow(w[j], 1 - balance));
    }
}

inline double finished_scale(double scale, const smoothing_options& o) {
    if (!(scale > 0)) return 1;
    const double kept = std::max(scale, o.least);
    return o.powers_of_two ? std::exp2(std::nearbyint(std::log2(kept))) : kept;
}

inline void check_smoothing(const smoothing_options& o) {
    if (!(o.balance >= 0 && o.balance <= 1)) {
        throw_value("smoothing_options.balance", "0 to 1", std::to_string(o.balance));
    }
    if (!(o.least > 0) || !std::isfinite(o.least)) {
        throw_value("smoothing_options.least", "a finite number above 0", std::to_string(o.least));
    }
}

inline void check_scales(std::span<const double> scales, index_t channels) {
    require_size("channel scales", scales, std::size_t(channels));
    for (std::size_t j = 0; j < scales.size(); ++j) {
        if (scales[j] > 0 && std::isfinite(scales[j])) continue;
        throw_value(std::string("channel scale ") + std::to_string(j), "a finite number above 0",
                    std::to_string(scales[j]));
    }
}

}  // namespace detail

// The scales [D]. router [1,E,D]: the weights of the gate; x [T,D], which experts and router read.
template <class T, class A>
std::vector<double> channel_scales(const ffn_bank<T, A>& bank, const panels<T>& router, input_view<T> x,
                                   const plan_view& plan, const smoothing_options& o = {}) {
    detail::check_smoothing(o);
    detail::check_calibration(bank.features(), bank.experts(), x, plan);
    detail::require_equal("channel_scales: router inputs", bank.features(), router.inputs());
    std::vector<double> scales(std::size_t(x.cols), 0.0);
    for (index_t e = 0; e < bank.experts(); ++e) {
        std::vector<double> weights(scales.size(), 0.0);
        if constexpr (is_gated<A>) detail::raise_to_weights(bank.gate, e, weights);
        detail::raise_to_weights(bank.up, e, weights);
        detail::raise_scales(scales, detail::largest_inputs(x, {plan.offset, plan.token}, e), weights, o.balance);
    }
    std::vector<double> weights(scales.size(), 0.0);
    for (index_t g = 0; g < router.groups(); ++g) detail::raise_to_weights(router, g, weights);
    const index_t all[2] = {0, x.rows};
    detail::raise_scales(scales, detail::largest_inputs(x, {all, {}}, 0), weights, o.balance);
    for (double& s : scales) s = detail::finished_scale(s, o);
    return scales;
}

// The weights of input j times s_j.
template <class T>
void multiply_channels(panels<T>& w, std::span<const double> scales) {
    detail::check_scales(scales, w.inputs());
    for (index_t g = 0; g < w.groups(); ++g) {
        for (index_t n = 0; n < w.outputs(); ++n) {
            for (index_t k = 0; k < w.inputs(); ++k) w(g, n, k) = T(double(w(g, n, k)) * scales[std::size_t(k)]);
        }
    }
}
template <class T, class A>
void multiply_channels(ffn_bank<T, A>& bank, std::span<const double> scales) {
    if constexpr (is_gated<A>) multiply_channels(bank.gate, scales);
    multiply_channels(bank.up, scales);
}

// Column j of rows [*,D], or of a gain [1,D], divided by s_j.
template <class T>
void divide_channels(matrix_view<T> rows, std::span<const double> scales) {
    detail::check_scales(scales, rows.cols);
    for (index_t t = 0; t < rows.rows; ++t) {
        for (index_t j = 0; j < rows.cols; ++j) rows(t, j) = T(double(rows(t, j)) / scales[std::size_t(j)]);
    }
}

MOE_END
