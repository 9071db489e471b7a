// experts/quantize_bank: a bank in one storage -> the same experts in another
// SPDX-License-Identifier: Apache-2.0
//
//     auto rounded = moe::quantize_bank<moe::int4_weights<32>>(bank);                       round to nearest
//     auto [bank4, report] = moe::quantize_bank<moe::int4_weights<32>>(cpu, bank, x, tape.plan());     scale search
//     auto plain = moe::dequantize_bank(rounded);                                           floats again
//
// The search chooses every group's scale by core/scale_search.hpp, where the moments are those of the inputs that an
// expert got in the plan: rows of x for gate and up, its hidden activations for down. Then each expert is measured on
// its rows: it keeps searched scales only if its output error is below that of rounding to nearest, which correlated
// inputs can prevent. So no expert is worse than rounded on the calibration rows. An expert without rows is rounded.
// Formats without a scale (bfloat16, float16, float) have nothing to search for, and are rounded.
// errors        x, plan: shape_error where they do not fit the bank; a NaN or an infinity in x: value_error
// cost          4 forwards of the rows in float; 50 times the weights for the search; three float copies of the bank
#pragma once

#include "moe/core/scale_search.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/quantization_report.hpp"

MOE_BEGIN

namespace detail {

// f(weights of one bank, of the other ...) for gate, up and down, as far as there are.
template <class F, class Bank, class... More>
void for_each_product(const F& f, Bank& bank, More&... more) {
    if constexpr (is_gated<decltype(bank.activation)>) f(bank.gate, more.gate...);
    f(bank.up, more.up...);
    f(bank.down, more.down...);
}

template <class Storage, class T, class A, class From>
ffn_bank<T, A, Storage> bank_like(const ffn_bank<T, A, From>& bank) {
    ffn_bank<T, A, Storage> to({.features = bank.features(), .hidden = bank.hidden(), .experts = bank.experts(),
                                .bias = bank.up_bias.size() != 0, .outputs = bank.outputs()}, bank.activation);
    to.gate_bias = bank.gate_bias;
    to.up_bias = bank.up_bias;
    to.down_bias = bank.down_bias;
    return to;
}

// One expert's matrix as floats: of a format of fewer bits, what its products use.
template <class W>
matrix<float> decoded_matrix(const W& w, index_t expert) {
    matrix<float> m(w.outputs(), w.inputs());
    w.packed().read(expert, m.view());
    return m;
}

template <class From, class To>
void copy_expert(const From& from, To& to, index_t expert) {
    const auto one = [&](const auto& w, auto& copy) { copy.assign(expert, decoded_matrix(w, expert).view()); };
    for_each_product(one, from, to);
}

template <class T>
void require_finite(const char* name, matrix_view<const T> m) {
    for (index_t i = 0; i < m.rows; ++i) {
        for (index_t j = 0; j < m.cols; ++j) {
            if (std::isfinite(m(i, j))) continue;
            throw_value(std::string(name) + "(" + std::to_string(i) + ", " + std::to_string(j) + ")",
                        "a finite number", std::to_string(m(i, j)));
        }
    }
}

inline void require_equal(const std::string& what, index_t wanted, index_t got) {
    if (wanted != got) throw_shape(what, std::to_string(wanted), std::to_string(got));
}

template <class T>
void check_calibration(index_t features, index_t experts, matrix_view<const T> x, const plan_view& plan) {
    require_equal("calibration: x columns", features, x.cols);
    require_equal("calibration: plan experts", experts, plan.experts());
    require_equal("calibration: plan tokens (rows of x)", x.rows, plan.tokens);
    require_finite("calibration: x", x);
}

template <class Bank, class Other>
void check_same_shape(const std::string& what, const Bank& bank, const Other& other) {
    require_equal(what + ": experts", bank.experts(), other.experts());
    require_equal(what + ": features", bank.features(), other.features());
    require_equal(what + ": hidden", bank.hidden(), other.hidden());
    require_equal(what + ": outputs", bank.outputs(), other.outputs());
}

struct bank_rows {
    matrix<float> hidden, out;  // [R,H], [R,Dout]
};

template <class B, class A>
bank_rows rows_of(B& b, const ffn_bank<float, A>& bank, matrix_view<const float> x, const plan_view& plan) {
    using K = kernels_of<B>;
    bank_rows to{matrix<float>(plan.last_row(), bank.hidden()), matrix<float>(plan.last_row(), bank.outputs())};
    if (plan.rows() == 0) return to;
    const row_groups by_token{plan.offset, plan.token};
    if constexpr (is_gated<A>) {
        K::grouped_gated_activation(b, by_token, x, bank.gate.packed(), bank.up.packed(), bank.gate_bias, bank.up_bias,
                                    bank.activation, to.hidden.view(), {}, {});
    } else {
        K::grouped_activation(b, by_token, x, bank.up.packed(), bank.up_bias, bank.activation, to.hidden.view(), {});
    }
    K::grouped_linear(b, {plan.offset, {}}, to.hidden, bank.down.packed(), bank.down_bias, to.out.view());
    return to;
}

// Mean of squares of the columns over the rows of one expert.
inline std::vector<double> column_moments(matrix_view<const float> a, const row_groups& rows, index_t expert) {
    std::vector<double> moments(static_cast<std::size_t>(a.cols), 0.0);
    for (index_t r = rows.begin(expert); r < rows.end(expert); ++r) {
        for (index_t k = 0; k < a.cols; ++k) {
            const double v = double(a(rows.source(r), k));
            moments[std::size_t(k)] += v * v / double(rows.end(expert) - rows.begin(expert));
        }
    }
    return moments;
}

// Rounds an expert under the scales search(weights, moments) of its groups, by the rows of x and h that it got.
template <class A, class Storage, class Search>
void assign_searched(const ffn_bank<float, A>& bank, ffn_bank<float, A, Storage>& to, index_t expert,
                     matrix_view<const float> x, const matrix<float>& h, const plan_view& plan, const Search& search) {
    const auto one = [&](const panels<float>& from, auto& w, std::span<const double> moments) {
        const auto choose = [&](std::span<const float> group, index_t, index_t block) {
            return search(group, moments.subspan(std::size_t(block * w.block_inputs()), group.size()));
        };
        w.assign(expert, decoded_matrix(from, expert).view(), choose);
    };
    const auto inputs = column_moments(x, {plan.offset, plan.token}, expert);
    if constexpr (is_gated<A>) one(bank.gate, to.gate, inputs);
    one(bank.up, to.up, inputs);
    one(bank.down, to.down, column_moments(h, {plan.offset, {}}, expert));
}

struct squares {
    double error = 0, whole = 0;
    void add(float wanted, float got) {
        error += (double(wanted) - double(got)) * (double(wanted) - double(got));
        whole += double(wanted) * double(wanted);
    }
    double relative() const { return std::sqrt(error / whole); }
};

inline double rows_error(const matrix<float>& wanted, const matrix<float>& got, const plan_view& plan, index_t expert) {
    squares sum;
    for (index_t r = plan.begin(expert); r < plan.end(expert); ++r) {
        for (index_t n = 0; n < wanted.cols(); ++n) sum.add(wanted(r, n), got(r, n));
    }
    return sum.relative();
}

// Inputs that share a scale; whole rows in formats without one.
template <class W>
index_t shared_inputs(const W& w) {
    if constexpr (requires { w.block_inputs(); }) return w.block_inputs();
    else return std::max(w.inputs(), index_t{1});
}

// Errors of the weights, and their bits.
template <class Bank, class Other>
quantization_error weights_error(const Bank& bank, const Other& other, index_t expert) {
    quantization_error to;
    squares all;
    double bits = 0, weights = 0;
    for_each_product([&](const auto& w, const auto& kept) {
        const auto& packed = kept.packed();
        const matrix<float> wanted = decoded_matrix(w, expert), got = decoded_matrix(kept, expert);
        bits += 8.0 * double(packed.span().size_bytes()) / double(w.groups());
        weights += double(w.outputs()) * double(w.inputs());
        const index_t together = shared_inputs(packed);
        for (index_t n = 0; n < w.outputs(); ++n) {
            for (index_t first = 0; first < w.inputs(); first += together) {
                squares group;
                for (index_t k = first; k < std::min(first + together, w.inputs()); ++k) {
                    group.add(wanted(n, k), got(n, k));
                    all.add(wanted(n, k), got(n, k));
                }
                if (group.whole != 0 && !(group.relative() <= to.worst_group)) to.worst_group = group.relative();
            }
        }
    }, bank, other);
    to.weight_error = all.relative();
    to.bits_per_weight = bits / weights;
    return to;
}

}  // namespace detail

// Every weight rounded to nearest; biases and the activation are copied.
template <class Storage, class A, class From>
ffn_bank<float, A, Storage> quantize_bank(const ffn_bank<float, A, From>& bank) {
    auto to = detail::bank_like<Storage>(bank);
    for (index_t e = 0; e < bank.experts(); ++e) detail::copy_expert(bank, to, e);
    return to;
}

// The decoded weights as floats.
template <class A, class From>
ffn_bank<float, A> dequantize_bank(const ffn_bank<float, A, From>& bank) {
    return quantize_bank<same_scalar>(bank);
}

// Compares a bank with one of fewer bits on the rows x [T,D] that a plan sends to each expert.
template <class B, class A, class Storage>
quantization_report measure_quantization(B& b, const ffn_bank<float, A>& bank, const ffn_bank<float, A, Storage>& other,
                                         input_view<float> x, const plan_view& plan) {
    detail::check_calibration(bank.features(), bank.experts(), x, plan);
    detail::check_same_shape("measure_quantization", bank, other);
    const auto wanted = detail::rows_of(b, bank, x, plan);
    const auto got = detail::rows_of(b, dequantize_bank(other), x, plan);
    quantization_report report;
    for (index_t e = 0; e < bank.experts(); ++e) {
        quantization_error expert = detail::weights_error(bank, other, e);
        expert.rows = plan.count(e);
        expert.output_error = detail::rows_error(wanted.out, got.out, plan, e);
        report.experts.push_back(expert);
    }
    return report;
}

template <class Bank>
struct quantized_bank {
    Bank bank;
    quantization_report report;
};

// Scales searched on the rows x [T,D] that a plan sends to each expert.
template <class Storage, class B, class A>
quantized_bank<ffn_bank<float, A, Storage>> quantize_bank(B& b, const ffn_bank<float, A>& bank, input_view<float> x,
                                                          const plan_view& plan) {
    using weights = typename ffn_bank<float, A, Storage>::weights;
    detail::check_calibration(bank.features(), bank.experts(), x, plan);
    auto to = quantize_bank<Storage>(bank);
    auto nearest = measure_quantization(b, bank, to, x, plan);
    if constexpr (!is_quantized<weights>) return {std::move(to), std::move(nearest)};
    else {
        const auto hidden = detail::rows_of(b, bank, x, plan).hidden;
        for (index_t e = 0; e < bank.experts(); ++e) {
            if (plan.count(e) == 0) continue;
            detail::assign_searched(bank, to, e, x, hidden, plan, [](const auto& group, const auto& moments) {
                return searched_scale<typename weights::format>(group, moments);
            });
        }
        auto report = measure_quantization(b, bank, to, x, plan);
        for (std::size_t e = 0; e < report.experts.size(); ++e) {
            if (report.experts[e].output_error < nearest.experts[e].output_error) {
                report.experts[e].scales = scale_origin::searched;
                continue;
            }
            report.experts[e] = nearest.experts[e];
            detail::copy_expert(bank, to, static_cast<index_t>(e));
        }
        return {std::move(to), std::move(report)};
    }
}

MOE_END
