// backend/dispatch: the kernels of moe::cpu for the processor that the program runs on, chosen when it starts
// SPDX-License-Identifier: Apache-2.0
//
//     moe_add_dispatch(my_levels)                                     CMake: compiles the kernels for several levels
//     target_link_libraries(program PRIVATE moe::moe my_levels)
//
//     moe::dispatched_cpu cpu{{.threads = 8}};                        the best level that this processor has
//     moe::dispatched_cpu cpu{{.threads = 8}, "x86-64-v3"};           that one, or value_error
//
// Where no level is given, the environment variable MOE_DISPATCH_LEVEL may name one. The program itself is compiled
// without -march, for any processor. A level has the grouped products, with bias and activation, their gradients of
// inputs and weights, and weighted_sum, for float, double, bfloat16 and float16 weights and codes of 8 and 4 bits in
// groups of 32 inputs; all other verbs, other weights, and activations that are not the library's own run as the program
// is compiled.
//
// Determinism: as moe::cpu. The verbs of a level have the bits of a moe::cpu in a program compiled for it as a whole.
// Memory: a level has scratch of its own, beside scratch(); both grow to what calls need and are kept.
#pragma once

#include <limits>
#include <tuple>

#include "moe/backend/cpu.hpp"
#include "moe/backend/dispatch/activations.hpp"
#include "moe/backend/dispatch/choice.hpp"
#include "moe/backend/dispatch/conversions.hpp"

MOE_BEGIN

namespace detail {

// h = act(z) in the rows of the groups.
template <class T, class B, class A>
void activate_rows(B& b, const row_groups& rows, matrix_view<const T> z, const A& act, matrix_view<T> h) {
    for_blocks(b, row_count(rows), h.cols, activation_cost, [&](index_t i, index_t first, index_t last) {
        const index_t r = first_row(rows) + i;
        for (index_t j = first; j < last; j += simd_vector<T>::size) {
            const auto value = act.template value<simd_math>(load_some(z.row(r) + j, last - j));
            store_some(value, h.row(r) + j, last - j);
        }
    });
}

// h = act(gate, up)
template <class T, class B, class A>
void activate_gated_rows(B& b, const row_groups& rows, matrix_view<const T> gate, matrix_view<const T> up,
                         const A& act, matrix_view<T> h) {
    for_blocks(b, row_count(rows), h.cols, activation_cost, [&](index_t i, index_t first, index_t last) {
        const index_t r = first_row(rows) + i;
        for (index_t j = first; j < last; j += simd_vector<T>::size) {
            const auto load = [&](matrix_view<const T> m) { return load_some(m.row(r) + j, last - j); };
            store_some(act.template value<simd_math>(load(gate), load(up)), h.row(r) + j, last - j);
        }
    });
}

}  // namespace detail

struct dispatch_tag {};

class dispatched_cpu {
public:
    using tag = dispatch_tag;
    using memory = host_memory;

    dispatched_cpu() : dispatched_cpu(cpu_options{}) {}
    explicit dispatched_cpu(const cpu_options& o, std::string_view level = {})
        : dispatched_cpu(level, std::make_unique<cpu>(o)) {}
    // Runs on threads of the caller.
    explicit dispatched_cpu(const on_pool& pool, std::string_view level = {})
        : dispatched_cpu(level, std::make_unique<cpu>(pool)) {}

    const char* level() const { return table_->level; }
    const char* isa() const { return table_->isa; }
    const char* bf16() const { return table_->bf16; }
    const char* codes() const { return table_->codes; }

    arena& scratch() { return cpu_->scratch(); }
    index_t threads() const { return cpu_->threads(); }
    template <class F>
    void parallel(index_t items, double operations, const F& f) {
        cpu_->parallel(items, operations, f);
    }

    // The verbs of the level, and what they take.
    const crossing::table& table() const { return *table_; }
    void* state() const { return state_.get(); }

private:
    dispatched_cpu(std::string_view level, std::unique_ptr<cpu> threads)
        : table_(&detail::choose_level(level)), cpu_(std::move(threads)), state_(nullptr, table_->close) {
        const crossing::team team{cpu_->threads(), cpu_.get(), run};
        state_.reset(table_->open(&team));
    }

    static void run(void* object, crossing::index count, void (*task)(const void*, crossing::index), const void* job) {
        const double worth_sharing = std::numeric_limits<double>::infinity();  // the level has looked at that
        static_cast<cpu*>(object)->parallel(count, worth_sharing, [&](index_t i, index_t, index_t) { task(job, i); });
    }

    const crossing::table* table_;
    std::unique_ptr<cpu> cpu_;  // where it stays when this object is moved
    std::unique_ptr<void, void (*)(void*)> state_;
};

template <>
struct kernels<dispatch_tag> : kernels<cpu_tag> {
    using base = kernels<cpu_tag>;

    template <class T, class W>
    static constexpr const char* product_name() {
        if constexpr (detail::has_level_product<T, W>) return "vectors of the level chosen when the program runs";
        else return base::product_name<T, W>();
    }

    template <class B, class T, class W>
    static void grouped_linear(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                               matrix_view<T> c) {
        if constexpr (detail::has_level_product<T, W>) {
            const auto [r, m, weights, v, out] = crossing_of(rows, a, w, bias, c);
            products<T, W>(b).linear(b.state(), &r, &m, &weights, &v, &out);
        } else {
            base::grouped_linear<B, T>(b, rows, a, w, bias, c);
        }
    }

    template <class B, class T, class A, class W>
    static void grouped_activation(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                                   const A& act, matrix_view<T> h, std::type_identity_t<matrix_view<T>> z) {
        using known = detail::crossing_activations;
        if constexpr (!detail::has_level_product<T, W>) {
            base::grouped_activation<B, T>(b, rows, a, w, bias, act, h, z);
        } else if constexpr (detail::crossing_number<A>(known{}) >= 0) {
            const auto [r, m, weights, v, out, argument] = crossing_of(rows, a, w, bias, h, z);
            const auto number = detail::numbered<known>(act);
            products<T, W>(b).activation(b.state(), &r, &m, &weights, &v, &number, &out, &argument);
        } else {
            const matrix_view<T> argument = z.data != nullptr ? z : h;
            grouped_linear<B, T>(b, rows, a, w, bias, argument);
            detail::activate_rows<T>(b, rows, argument, act, h);
        }
    }

    template <class B, class T, class A, class W>
    static void grouped_gated_activation(B& b, const row_groups& rows, input_view<T> a, const W& w_gate,
                                         const W& w_up, input_view<T> bias_gate, input_view<T> bias_up, const A& act,
                                         matrix_view<T> h, std::type_identity_t<matrix_view<T>> z_gate,
                                         std::type_identity_t<matrix_view<T>> z_up) {
        using known = detail::crossing_gated_activations;
        if constexpr (!detail::has_level_product<T, W>) {
            base::grouped_gated_activation<B, T>(b, rows, a, w_gate, w_up, bias_gate, bias_up, act, h, z_gate, z_up);
        } else if constexpr (detail::crossing_number<A>(known{}) >= 0) {
            const auto [r, m, gate, up] = crossing_of(rows, a, w_gate, w_up);
            const auto [v_gate, v_up, out, g, u] = crossing_of(bias_gate, bias_up, h, z_gate, z_up);
            const auto number = detail::numbered<known>(act);
            products<T, W>(b).gated_activation(b.state(), &r, &m, &gate, &up, &v_gate, &v_up, &number, &out, &g, &u);
        } else {
            const arena_frame frame(b.scratch());
            const bool kept = z_gate.data != nullptr;
            const matrix_view<T> gate = kept ? z_gate : h;
            const matrix_view<T> up = kept ? z_up : b.scratch().template take<T>(h.rows, h.cols);
            grouped_linear<B, T>(b, rows, a, w_gate, bias_gate, gate);
            grouped_linear<B, T>(b, rows, a, w_up, bias_up, up);
            detail::activate_gated_rows<T>(b, rows, gate, up, act, h);
        }
    }

    template <class B, class T, class W>
    static void grouped_input_gradient(B& b, const row_groups& rows, input_view<T> dc, const W& w, matrix_view<T> da,
                                       bool accumulate) {
        if constexpr (detail::has_level_product<T, W>) {
            const auto [r, d, weights, out] = crossing_of(rows, dc, w, da);
            products<T, W>(b).input_gradient(b.state(), &r, &d, &weights, &out, accumulate);
        } else {
            base::grouped_input_gradient<B, T>(b, rows, dc, w, da, accumulate);
        }
    }

    template <class B, class T>
    static void grouped_weight_gradient(B& b, const row_groups& rows, input_view<T> dc, input_view<T> a,
                                        panels<T>& dw) {
        if constexpr (has_simd<T>) {
            const auto [r, d, m, weights] = crossing_of(rows, dc, a, dw);
            sums<T>(b).weight_gradient(b.state(), &r, &d, &m, &weights);
        } else {
            base::grouped_weight_gradient<B, T>(b, rows, dc, a, dw);
        }
    }

    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight, matrix_view<T> y,
                             bool accumulate) {
        if constexpr (has_simd<T>) {
            const auto [p, m, out] = crossing_of(plan, rows, y);
            sums<T>(b).weighted_sum(b.state(), &p, &m, weight.data(), weight.size(), &out, accumulate);
        } else {
            base::weighted_sum<B, T>(b, plan, rows, weight, y, accumulate);
        }
    }

private:
    template <class... A>
    static auto crossing_of(const A&... arguments) {
        return std::tuple(detail::to_crossing(arguments)...);
    }
    template <class T, class W, class B>
    static const crossing::products& products(B& b) {
        return b.table().product[detail::crossing_format<T, W>];
    }
    template <class T, class B>
    static const crossing::sums& sums(B& b) {
        return b.table().sum[std::is_same_v<T, float> ? crossing::float_scalar : crossing::double_scalar];
    }
};

MOE_END
