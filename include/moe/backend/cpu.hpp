// backend/cpu: SIMD kernels on the threads of one object
// SPDX-License-Identifier: Apache-2.0
//
// A moe::cpu owns its scratch and its threads, or runs on the caller's (on_pool); one thread uses it at a time. float and
// double run on vectors of the instruction set the translation unit is compiled for, other scalars as in reference.
//
// Determinism: results have the same bits for every number of threads; a row's result depends on no other row. Sums
// over inputs run in ascending order in chains of 128 fused multiply-adds (256 with bfloat16 weights), whose results are
// added in ascending order. On matrix units chains are those of backend/cpu/amx.hpp.
// Memory: nothing is allocated once scratch has grown; rows and columns that a verb does not name are not written.
#pragma once

#include <optional>

#include "moe/backend/cpu/bf16.hpp"
#include "moe/backend/cpu/elementwise.hpp"
#include "moe/backend/cpu/f16.hpp"
#include "moe/backend/cpu/forward.hpp"
#include "moe/backend/cpu/input_gradient.hpp"
#include "moe/backend/cpu/on_pool.hpp"
#include "moe/backend/cpu/pool.hpp"
#include "moe/backend/cpu/quantized.hpp"
#include "moe/backend/cpu/weight_gradient.hpp"
#include "moe/backend/cpu/weighted_sum.hpp"
#include "moe/backend/reference.hpp"

MOE_BEGIN

struct cpu_options {
    index_t threads = 1;              // the calling thread is one of them
    index_t spin_microseconds = 100;  // how long a thread that waits for the others spins before it sleeps
    bool pin = false;                 // each thread but the caller's stays on one processor (Linux; ignored elsewhere)
    // Products with bfloat16 weights and codes run on the matrix unit (AMX) where the build knows it and the system grants
    // it. With bfloat16, results have other bits than without (backend/cpu/amx.hpp); with codes they have the same.
    bool tiles = true;
};

struct cpu_tag {};

class cpu {
public:
    using tag = cpu_tag;
    using memory = host_memory;

    cpu() : cpu(cpu_options{}) {}
    explicit cpu(const cpu_options& o) {
        check_threads(o.threads);
        if (o.spin_microseconds < 0) {
            throw_value("cpu spin_microseconds", "at least 0", std::to_string(o.spin_microseconds));
        }
        tiles_ = o.tiles && detail::tiles_granted();
        own_ = std::make_unique<detail::thread_pool>(o.threads, std::chrono::microseconds(o.spin_microseconds), o.pin);
    }
    // Runs on threads of the caller.
    explicit cpu(const on_pool& pool) : callers_(pool) { check_threads(pool.threads()); }

    arena& scratch() { return scratch_; }
    index_t threads() const { return own_ ? own_->workers() : callers_->threads(); }

    // Whether products run on the matrix unit, where they know how.
    bool uses_tiles() const { return tiles_; }

    // f(item, next, worker) for every item of [0, items), each once; `next` is the item that the same worker will get
    // afterwards (`items` or more: none), worker lies in [0, threads()). Items go to whoever is free. Work of few
    // `operations` in all stays on the calling thread. f must not throw and must not use this object.
    template <class F>
    void parallel(index_t items, double operations, const F& f) {
        if (items <= 0) return;
        if (items == 1 || threads() == 1 || operations < operations_worth_sharing || (!own_ && callers_->inside())) {
            for (index_t i = 0; i < items; ++i) f(i, i + 1, index_t{0});
            return;
        }
        std::atomic<index_t> ticket{0};
        const auto work = [&](index_t worker) {
            index_t next = ticket.fetch_add(1, std::memory_order_relaxed);
            while (next < items) {
                const index_t item = next;
                next = ticket.fetch_add(1, std::memory_order_relaxed);
                f(item, next, worker);
            }
        };
        if (own_) own_->run(work);
        else callers_->run(work);
    }

private:
    static constexpr double operations_worth_sharing = 65536;  // about the time it takes to wake a spinning thread

    static void check_threads(index_t threads) {
        if (threads < 1) throw_value("cpu threads", "at least 1", std::to_string(threads));
    }

    arena scratch_;
    bool tiles_ = detail::tiles_granted();
    std::unique_ptr<detail::thread_pool> own_;  // or
    std::optional<on_pool> callers_;
};

template <>
struct kernels<cpu_tag> : kernels<reference_tag> {
    using base = kernels<reference_tag>;

    template <class T, class W>
    static const char* product_name() {
        if constexpr (!detail::has_product<T, W>) {
            return base::product_name<T, W>();
        } else {
            using P = detail::product_of<T, W>;
            if constexpr (detail::has_tiled_product<P>) {
                if (detail::tiles_granted()) return detail::tiled_product<P>::name;
            }
            return P::name;
        }
    }

    template <class B, class P>
    static void for_rows(B& b, index_t n, const P& program) {
        const index_t chunk = std::max(index_t{1}, n / (8 * b.threads()));
        const double operations = 512.0 * n;  // a guess: what a program costs is not known
        b.parallel(detail::ceil_divide(n, chunk), operations, [&](index_t item, index_t, index_t) {
            const index_t last = std::min((item + 1) * chunk, n);
            for (index_t i = item * chunk; i < last; ++i) program(i);
        });
    }

    template <class B, class T, class W>
    static void grouped_linear(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                               matrix_view<T> c) {
        if constexpr (detail::has_product<T, W>) {
            detail::multiply_forward(b, rows, a, {&w}, [&](const detail::strip& s, index_t p, T* const* sum) {
                const index_t column = p * panels<T>::width;
                const index_t columns = detail::panel_columns<T>(w.outputs(), p);
                detail::add_bias(sum[0], s.rows, bias, s.group, column, columns);
                detail::store_tile(sum[0], s.rows, c, s.first, column, columns);
            });
        } else {
            base::grouped_linear<B, T>(b, rows, a, w, bias, c);
        }
    }

    template <class B, class T, class A, class W>
    static void grouped_activation(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                                   const A& act, matrix_view<T> h, std::type_identity_t<matrix_view<T>> z) {
        if constexpr (detail::has_product<T, W>) {
            detail::multiply_forward(b, rows, a, {&w}, [&](const detail::strip& s, index_t p, T* const* sum) {
                const index_t column = p * panels<T>::width;
                const index_t columns = detail::panel_columns<T>(w.outputs(), p);
                detail::add_bias(sum[0], s.rows, bias, s.group, column, columns);
                if (z.data != nullptr) detail::store_tile(sum[0], s.rows, z, s.first, column, columns);
                detail::activate(sum[0], std::ptrdiff_t(s.rows) * panels<T>::width, act);
                detail::store_tile(sum[0], s.rows, h, s.first, column, columns);
            });
        } else {
            base::grouped_activation<B, T>(b, rows, a, w, bias, act, h, z);
        }
    }

    template <class B, class T, class A, class W>
    static void grouped_gated_activation(B& b, const row_groups& rows, input_view<T> a, const W& w_gate,
                                         const W& w_up, input_view<T> bias_gate, input_view<T> bias_up, const A& act,
                                         matrix_view<T> h, std::type_identity_t<matrix_view<T>> z_gate,
                                         std::type_identity_t<matrix_view<T>> z_up) {
        if constexpr (detail::has_product<T, W>) {
            detail::multiply_forward(
                b, rows, a, {&w_gate, &w_up}, [&](const detail::strip& s, index_t p, T* const* sum) {
                    const index_t column = p * panels<T>::width;
                    const index_t columns = detail::panel_columns<T>(w_gate.outputs(), p);
                    detail::add_bias(sum[0], s.rows, bias_gate, s.group, column, columns);
                    detail::add_bias(sum[1], s.rows, bias_up, s.group, column, columns);
                    if (z_gate.data != nullptr) {
                        detail::store_tile(sum[0], s.rows, z_gate, s.first, column, columns);
                        detail::store_tile(sum[1], s.rows, z_up, s.first, column, columns);
                    }
                    detail::activate_gated(sum[0], sum[1], std::ptrdiff_t(s.rows) * panels<T>::width, act);
                    detail::store_tile(sum[0], s.rows, h, s.first, column, columns);
                });
        } else {
            base::grouped_gated_activation<B, T>(b, rows, a, w_gate, w_up, bias_gate, bias_up, act, h, z_gate, z_up);
        }
    }

    template <class B, class T, class W>
    static void grouped_input_gradient(B& b, const row_groups& rows, input_view<T> dc, const W& w, matrix_view<T> da,
                                       bool accumulate) {
        if constexpr (detail::has_product<T, W>)
            detail::input_gradient(b, rows, dc, w, da, accumulate);
        else
            base::grouped_input_gradient<B, T>(b, rows, dc, w, da, accumulate);
    }

    template <class B, class T>
    static void grouped_weight_gradient(B& b, const row_groups& rows, input_view<T> dc, input_view<T> a,
                                        panels<T>& dw) {
        if constexpr (has_simd<T>)
            detail::weight_gradient(b, rows, dc, a, dw);
        else
            base::grouped_weight_gradient<B, T>(b, rows, dc, a, dw);
    }

    template <class B, class T>
    static void grouped_bias_gradient(B& b, const row_groups& rows, input_view<T> dc, matrix_view<T> db) {
        if constexpr (has_simd<T>)
            detail::bias_gradient(b, rows, dc, db);
        else
            base::grouped_bias_gradient<B, T>(b, rows, dc, db);
    }

    template <class B, class T, class A>
    static void activation_gradient(B& b, const row_groups& rows, input_view<T> z, const A& act, matrix_view<T> dh) {
        if constexpr (has_simd<T>)
            detail::activation_gradient(b, rows, z, act, dh);
        else
            base::activation_gradient<B, T>(b, rows, z, act, dh);
    }

    template <class B, class T, class A>
    static void gated_activation_gradient(B& b, const row_groups& rows, input_view<T> z_gate, input_view<T> z_up,
                                          input_view<T> dh, const A& act, matrix_view<T> d_gate, matrix_view<T> d_up) {
        if constexpr (has_simd<T>)
            detail::gated_activation_gradient(b, rows, z_gate, z_up, dh, act, d_gate, d_up);
        else
            base::gated_activation_gradient<B, T>(b, rows, z_gate, z_up, dh, act, d_gate, d_up);
    }

    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight, matrix_view<T> y,
                             bool accumulate) {
        if constexpr (has_simd<T>)
            detail::weighted_sum(b, plan, rows, weight, y, accumulate);
        else
            base::weighted_sum<B, T>(b, plan, rows, weight, y, accumulate);
    }

    template <class B, class T>
    static void weighted_sum_gradient(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight,
                                      input_view<T> dy, matrix_view<T> d_rows,
                                      std::type_identity_t<std::span<T>> d_weight) {
        if constexpr (has_simd<T>)
            detail::weighted_sum_gradient(b, plan, rows, weight, dy, d_rows, d_weight);
        else
            base::weighted_sum_gradient<B, T>(b, plan, rows, weight, dy, d_rows, d_weight);
    }

    template <class B, class T>
    static void copy(B& b, input_view<T> from, matrix_view<T> to) {
        detail::copy_matrix(b, from, to);
    }

    template <class B, class T>
    static void fill(B& b, matrix_view<T> to, std::type_identity_t<T> value) {
        detail::fill_matrix(b, to, value);
    }

    template <class B, class T>
    static void add(B& b, input_view<T> from, matrix_view<T> to) {
        if constexpr (has_simd<T>)
            detail::add_matrix(b, from, to);
        else
            base::add<B, T>(b, from, to);
    }
};

MOE_END
