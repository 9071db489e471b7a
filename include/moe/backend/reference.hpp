// backend/reference: every verb as a plain loop, for any scalar type
// SPDX-License-Identifier: Apache-2.0
//
// The oracle in tests, the fallback of host-visible backends, the baseline in benches. One thread, natural order.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/math.hpp"
#include "moe/core/quantized_panels.hpp"

MOE_BEGIN

// A backend object: owns the scratch of the calls it is passed to. One thread uses it at a time.
class reference {
public:
    using tag = reference_tag;
    using memory = host_memory;

    arena& scratch() { return scratch_; }

private:
    arena scratch_;
};

namespace detail {

// Row x times output n, by the rule of core/quantized_panels.hpp. A call of its own, so that no compiler fuses the last
// product with what the caller adds.
template <class Format>
__attribute__((noinline)) float quantized_dot(const float* x, const quantized_panels<Format>& w, index_t g, index_t n) {
    const float row_scale = activation_scale({x, std::size_t(w.inputs())});
    float sum = 0;
    for (index_t b = 0; b < w.blocks(); ++b) {
        std::int64_t products = 0, inputs = 0;
        for (index_t i = 0; i < w.block_size(b); ++i) {
            const index_t k = b * w.block_inputs() + i;
            const int a = activation_code(x[k], row_scale);
            products += a * w.code(g, n, k);
            inputs += a;
        }
        const code_scale s = w.scale(g, n, b);
        const float group = Format::zero_points ? multiply_add(-s.zero, float(inputs), float(products))
                                                : float(products - Format::zero * inputs);
        sum = multiply_add(s.scale, group, sum);
    }
    return row_scale * sum;
}

}  // namespace detail

template <>
struct kernels<reference_tag> {
    template <class T, class W>
    static constexpr const char* product_name() {
        return "plain loops";
    }

    template <class B, class P>
    static void for_rows(B&, index_t n, const P& program) {
        for (index_t i = 0; i < n; ++i) program(i);
    }

    template <class B, class T, class W>
    static void grouped_linear(B&, const row_groups& rows, input_view<T> a, const W& w,
                               input_view<T> bias, matrix_view<T> c) {
        for_each(rows, w.outputs(), [&](index_t g, index_t r, index_t n) {
            c(r, n) = dot(a.row(rows.source(r)), w, g, n) + at(bias, g, n);
        });
    }

    template <class B, class T, class A, class W>
    static void grouped_activation(B&, const row_groups& rows, input_view<T> a, const W& w,
                                   input_view<T> bias, const A& act, matrix_view<T> h, std::type_identity_t<matrix_view<T>> z) {
        for_each(rows, w.outputs(), [&](index_t g, index_t r, index_t n) {
            const T value = dot(a.row(rows.source(r)), w, g, n) + at(bias, g, n);
            if (z.data != nullptr) z(r, n) = value;
            h(r, n) = act.template value<scalar_math>(value);
        });
    }

    template <class B, class T, class A, class W>
    static void grouped_gated_activation(B&, const row_groups& rows, input_view<T> a, const W& w_gate,
                                         const W& w_up, input_view<T> bias_gate,
                                         input_view<T> bias_up, const A& act, matrix_view<T> h,
                                         std::type_identity_t<matrix_view<T>> z_gate,
                                         std::type_identity_t<matrix_view<T>> z_up) {
        for_each(rows, w_gate.outputs(), [&](index_t g, index_t r, index_t n) {
            const T* input = a.row(rows.source(r));
            const T gate = dot(input, w_gate, g, n) + at(bias_gate, g, n);
            const T up = dot(input, w_up, g, n) + at(bias_up, g, n);
            if (z_gate.data != nullptr) {
                z_gate(r, n) = gate;
                z_up(r, n) = up;
            }
            h(r, n) = act.template value<scalar_math>(gate, up);
        });
    }

    template <class B, class T, class W>
    static void grouped_input_gradient(B&, const row_groups& rows, input_view<T> dc, const W& w,
                                       matrix_view<T> da, bool accumulate) {
        for_each(rows, w.inputs(), [&](index_t g, index_t r, index_t k) {
            T sum = T(0);
            for (index_t n = 0; n < w.outputs(); ++n) sum += dc(r, n) * T(w(g, n, k));
            da(r, k) = accumulate ? da(r, k) + sum : sum;
        });
    }

    template <class B, class T>
    static void grouped_weight_gradient(B&, const row_groups& rows, input_view<T> dc, input_view<T> a,
                                        panels<T>& dw) {
        for (index_t g = 0; g < rows.groups(); ++g) {
            for (index_t r = rows.begin(g); r < rows.end(g); ++r) {
                const T* input = a.row(rows.source(r));
                for (index_t n = 0; n < dw.outputs(); ++n) {
                    for (index_t k = 0; k < dw.inputs(); ++k) dw(g, n, k) += dc(r, n) * input[k];
                }
            }
        }
    }

    template <class B, class T>
    static void grouped_bias_gradient(B&, const row_groups& rows, input_view<T> dc, matrix_view<T> db) {
        for_each(rows, db.cols, [&](index_t g, index_t r, index_t n) { db(g, n) += dc(r, n); });
    }

    // dH [rows] becomes dZ. Rows outside of the groups stay as they are.
    template <class B, class T, class A>
    static void activation_gradient(B&, const row_groups& rows, input_view<T> z, const A& act,
                                    matrix_view<T> dh) {
        for_each(rows, z.cols, [&](index_t, index_t r, index_t n) {
            dh(r, n) = act.template gradient<scalar_math>(z(r, n), dh(r, n));
        });
    }

    template <class B, class T, class A>
    static void gated_activation_gradient(B&, const row_groups& rows, input_view<T> z_gate,
                                          input_view<T> z_up, input_view<T> dh, const A& act,
                                          matrix_view<T> d_gate, matrix_view<T> d_up) {
        for_each(rows, z_gate.cols, [&](index_t, index_t r, index_t n) {
            const auto d = act.template gradient<scalar_math>(z_gate(r, n), z_up(r, n), dh(r, n));
            d_gate(r, n) = d.gate;
            d_up(r, n) = d.up;
        });
    }

    // Groups the live slots by expert: histogram, scan, stable permutation. O(slots + E + T).
    template <class B>
    static plan_view build_plan(B&, index_t tokens, index_t experts, std::span<const index_t> offset,
                                std::span<const index_t> expert, arena& memory) {
        const index_t slots = static_cast<index_t>(expert.size());
        plan_storage p = plan_storage::take(memory, tokens, experts, slots);
        const auto i = [](index_t n) { return static_cast<std::size_t>(n); };
        std::fill(p.offset.begin(), p.offset.end(), 0);
        for (const index_t e : expert) {
            if (e >= 0) ++p.offset[i(e) + 1];
        }
        for (index_t e = 0; e < experts; ++e) p.offset[i(e) + 1] += p.offset[i(e)];
        // offset[e] is used as the cursor of expert e and moved back afterwards.
        p.token_offset[0] = 0;
        for (index_t t = 0; t < tokens; ++t) {
            index_t live = 0;
            for (index_t s = offset[i(t)]; s < offset[i(t) + 1]; ++s) {
                const index_t e = expert[i(s)];
                p.row[i(s)] = e < 0 ? -1 : p.offset[i(e)]++;
                if (e < 0) continue;
                p.token[i(p.row[i(s)])] = t;
                p.slot[i(p.row[i(s)])] = s;
                ++live;
            }
            p.token_offset[i(t) + 1] = p.token_offset[i(t)] + live;
        }
        for (index_t e = experts; e > 0; --e) p.offset[i(e)] = p.offset[i(e) - 1];
        p.offset[0] = 0;
        // Ascending rows are ascending experts: appending in row order sorts every token's rows.
        const index_t rows = p.offset[i(experts)];
        for (index_t r = 0; r < rows; ++r) p.token_row[i(p.token_offset[i(p.token[i(r)])]++)] = r;
        for (index_t t = tokens; t > 0; --t) p.token_offset[i(t)] = p.token_offset[i(t) - 1];
        p.token_offset[0] = 0;
        if (p.row_begin.data() != p.offset.data()) std::copy(p.offset.begin(), p.offset.end(), p.row_begin.begin());
        return p.view(tokens);
    }

    // Only the rows of the plan's experts take part. An empty weight counts as 1.
    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight,
                             matrix_view<T> y, bool accumulate) {
        kernels_of<B>::for_rows(b, plan.tokens, [=](index_t t) {
            T* out = y.row(t);
            if (!accumulate) std::fill(out, out + y.cols, T(0));
            for (index_t i = plan.token_offset[std::size_t(t)]; i < plan.token_offset[std::size_t(t) + 1]; ++i) {
                const index_t r = plan.token_row[std::size_t(i)];
                if (r < plan.first_row() || r >= plan.last_row()) continue;
                const T w = weight.empty() ? T(1) : weight[std::size_t(plan.slot[std::size_t(r)])];
                const T* row = rows.row(r);
                for (index_t n = 0; n < y.cols; ++n) out[n] += w * row[n];
            }
        });
    }

    template <class B, class T>
    static void weighted_sum_gradient(B& b, const plan_view& plan, input_view<T> rows,
                                      input_span<T> weight, input_view<T> dy, matrix_view<T> d_rows,
                                      std::type_identity_t<std::span<T>> d_weight) {
        const index_t first = plan.first_row();
        kernels_of<B>::for_rows(b, plan.rows(), [=](index_t i) {
            const index_t r = first + i;
            const std::size_t slot = std::size_t(plan.slot[std::size_t(r)]);
            const T* upstream = dy.row(plan.token[std::size_t(r)]);
            const T w = weight.empty() ? T(1) : weight[slot];
            for (index_t n = 0; n < d_rows.cols; ++n) d_rows(r, n) = w * upstream[n];
            if (d_weight.empty()) return;
            T sum = T(0);
            for (index_t n = 0; n < d_rows.cols; ++n) sum += upstream[n] * rows(r, n);
            d_weight[slot] += sum;
        });
    }

    template <class B, class T>
    static void copy(B& b, input_view<T> from, matrix_view<T> to) {
        kernels_of<B>::for_rows(b, to.rows,
                                [=](index_t i) { std::copy(from.row(i), from.row(i) + to.cols, to.row(i)); });
    }

    template <class B, class T>
    static void fill(B& b, matrix_view<T> to, std::type_identity_t<T> value) {
        kernels_of<B>::for_rows(b, to.rows, [=](index_t i) { std::fill(to.row(i), to.row(i) + to.cols, value); });
    }

    // to += from
    template <class B, class T>
    static void add(B& b, input_view<T> from, matrix_view<T> to) {
        kernels_of<B>::for_rows(b, to.rows, [=](index_t i) {
            for (index_t j = 0; j < to.cols; ++j) to(i, j) += from(i, j);
        });
    }

    template <class B, class T>
    static void copy_in(B&, input_span<T> from, std::span<T> to) {
        std::copy(from.begin(), from.end(), to.begin());
    }
    template <class B, class T>
    static void copy_out(B&, input_span<T> from, std::span<T> to) {
        std::copy(from.begin(), from.end(), to.begin());
    }

private:
    template <class F>
    static void for_each(const row_groups& rows, index_t columns, const F& f) {
        for (index_t g = 0; g < rows.groups(); ++g) {
            for (index_t r = rows.begin(g); r < rows.end(g); ++r) {
                for (index_t n = 0; n < columns; ++n) f(g, r, n);
            }
        }
    }

    template <class T, class W>
    static T dot(const T* x, const W& w, index_t g, index_t n) {
        if constexpr (is_quantized<W>) {
            return detail::quantized_dot(x, w, g, n);
        } else {
            T sum = T(0);
            for (index_t k = 0; k < w.inputs(); ++k) sum += as_input<typename W::value_type>(x[k]) * T(w(g, n, k));
            return sum;
        }
    }

    template <class T>
    static T at(matrix_view<const T> bias, index_t g, index_t n) {
        return bias.data == nullptr ? T(0) : bias(g, n);
    }
};

MOE_END
