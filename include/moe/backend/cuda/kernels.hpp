// backend/cuda: every verb as launches of kernel bodies
// SPDX-License-Identifier: Apache-2.0
//
// A backend object with this tag has, beside tag, memory and scratch,
//
//     run(blocks, body)              body(block, thread) for every block and each of detail::threads_per_block threads
//     copy_in(to, from, bytes)       host -> device; `from` may change when it returns
//     copy_out(to, from, bytes)      device -> host; complete when it returns
//
// moe::cuda (cuda.cuh) launches on a device. Nothing here needs a CUDA compiler: tests run the same bodies over the
// whole grid on the host. Every verb is defined here, none falls back to the host. The kernels are simple: one thread
// per element, no shared memory; the offsets of groups are copied to the device for every grouped verb, and build_plan
// waits for the device once, to tell the host how many rows there are.
// weights       of floats, bfloat16 and float16; codes of 8 and 4 bits are refused when a program is compiled
// determinism   the same bits for the same input and device; sums run in ascending order, without atomics
#pragma once

#include "moe/backend/cuda/elementwise.hpp"
#include "moe/backend/cuda/plan.hpp"
#include "moe/backend/cuda/products.hpp"
#include "moe/backend/cuda/sums.hpp"
#include "moe/core/code_format.hpp"

MOE_BEGIN

struct cuda_tag {};

template <>
struct kernels<cuda_tag> {
    template <class T, class W>
    static constexpr const char* product_name() {
        return "a device thread an element";
    }

    template <class B, class P>
    static void for_rows(B& b, index_t n, const P& program) {
#if defined(__CUDACC_EXTENDED_LAMBDA__)
        // nvcc only warns of device code that calls a function of the host.
        static_assert(__nv_is_extended_host_device_lambda_closure_type(P) || std::is_aggregate_v<P>,
                      "moe: unsuitable backend: this row program is a lambda without MOE_ROW, which no kernel can call");
#endif
        launch(b, n, detail::rows_body<P>{n, program});
    }

    template <class B, class T, class W>
    static void grouped_linear(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                               matrix_view<T> c) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.rows, w.outputs()), detail::linear_body<T, view_of<W>>{there, {a, view(w), bias}, c});
    }

    template <class B, class T, class A, class W>
    static void grouped_activation(B& b, const row_groups& rows, input_view<T> a, const W& w, input_view<T> bias,
                                   const A& act, matrix_view<T> h, std::type_identity_t<matrix_view<T>> z) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.rows, w.outputs()),
               detail::activation_body<T, view_of<W>, A>{there, {a, view(w), bias}, act, h, z});
    }

    template <class B, class T, class A, class W>
    static void grouped_gated_activation(B& b, const row_groups& rows, input_view<T> a, const W& w_gate,
                                         const W& w_up, input_view<T> bias_gate, input_view<T> bias_up, const A& act,
                                         matrix_view<T> h, std::type_identity_t<matrix_view<T>> z_gate,
                                         std::type_identity_t<matrix_view<T>> z_up) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.rows, w_gate.outputs()),
               detail::gated_activation_body<T, view_of<W>, A>{
                   there, {a, view(w_gate), bias_gate}, {a, view(w_up), bias_up}, act, h, z_gate, z_up});
    }

    template <class B, class T, class W>
    static void grouped_input_gradient(B& b, const row_groups& rows, input_view<T> dc, const W& w, matrix_view<T> da,
                                       bool accumulate) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.rows, w.inputs()),
               detail::input_gradient_body<T, view_of<W>>{there, dc, view(w), da, accumulate});
    }

    template <class B, class T>
    static void grouped_weight_gradient(B& b, const row_groups& rows, input_view<T> dc, input_view<T> a,
                                        panels<T>& dw) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.groups, dw.inputs()) * dw.outputs(),
               detail::weight_gradient_body<T>{there, dc, a, dw.view()});
    }

    template <class B, class T>
    static void grouped_bias_gradient(B& b, const row_groups& rows, input_view<T> dc, matrix_view<T> db) {
        const arena_frame frame(b.scratch());
        const detail::device_groups there = bring(b, rows);
        launch(b, elements(there.groups, db.cols), detail::bias_gradient_body<T>{there, dc, db});
    }

    template <class B, class T, class A>
    static void activation_gradient(B& b, const row_groups& rows, input_view<T> z, const A& act, matrix_view<T> dh) {
        const index_t count = row_count(rows);
        launch(b, elements(count, z.cols), detail::activation_gradient_body<T, A>{first_row(rows), count, z, act, dh});
    }

    template <class B, class T, class A>
    static void gated_activation_gradient(B& b, const row_groups& rows, input_view<T> z_gate, input_view<T> z_up,
                                          input_view<T> dh, const A& act, matrix_view<T> d_gate, matrix_view<T> d_up) {
        const index_t count = row_count(rows);
        launch(
            b, elements(count, z_gate.cols),
            detail::gated_activation_gradient_body<T, A>{first_row(rows), count, z_gate, z_up, dh, act, d_gate, d_up});
    }

    template <class B>
    static plan_view build_plan(B& b, index_t tokens, index_t experts, std::span<const index_t> offset,
                                std::span<const index_t> expert, arena& memory) {
        const index_t slots = static_cast<index_t>(expert.size());
        const plan_storage out = plan_storage::take(memory, tokens, experts, slots);
        const arena_frame frame(b.scratch());
        const index_t chunks = (slots + detail::plan_chunk - 1) / detail::plan_chunk;
        const std::span<index_t> slot_token = b.scratch().template take<index_t>(expert.size());
        const std::span<index_t> count = b.scratch().template take<index_t>(std::size_t(experts) * std::size_t(chunks));
        plan_storage seen = out;
        seen.offset = {};  // the host's
        const detail::device_plan plan{tokens, experts, chunks, offset, expert, slot_token, count, seen};
        launch(b, tokens, detail::plan_tokens_body{plan});
        launch(b, elements(experts, chunks), detail::plan_count_body{plan});
        scan(b, count);
        scan(b, out.token_offset.subspan(1));
        launch(b, std::int64_t{experts} + 1, detail::plan_offsets_body{plan});
        launch(b, elements(experts, chunks), detail::plan_place_body{plan});
        launch(b, tokens, detail::plan_sort_body{plan});
        if (out.row_begin.data() != out.offset.data()) copy_out(b, std::span<const index_t>(out.row_begin), out.offset);
        return out.view(tokens);
    }

    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight, matrix_view<T> y,
                             bool accumulate) {
        launch(b, elements(plan.tokens, y.cols),
               detail::weighted_sum_body<T>{seen_by_sums<T>(plan, weight), rows, y, accumulate});
    }

    template <class B, class T>
    static void weighted_sum_gradient(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight,
                                      input_view<T> dy, matrix_view<T> d_rows,
                                      std::type_identity_t<std::span<T>> d_weight) {
        const detail::device_sum<T> seen = seen_by_sums<T>(plan, weight);
        if (!d_weight.empty()) launch(b, plan.rows(), detail::slot_gradient_body<T>{seen, rows, dy, d_weight});
        launch(b, elements(plan.rows(), d_rows.cols), detail::row_gradient_body<T>{seen, dy, d_rows});
    }

    template <class B, class T>
    static void copy(B& b, input_view<T> from, matrix_view<T> to) {
        launch(b, elements(to.rows, to.cols), detail::copy_body<T>{from, to});
    }
    template <class B, class T>
    static void fill(B& b, matrix_view<T> to, std::type_identity_t<T> value) {
        launch(b, elements(to.rows, to.cols), detail::fill_body<T>{to, value});
    }
    template <class B, class T>
    static void add(B& b, input_view<T> from, matrix_view<T> to) {
        launch(b, elements(to.rows, to.cols), detail::add_body<T>{from, to});
    }

    template <class B, class T>
    static void copy_in(B& b, input_span<T> from, std::span<T> to) {
        if (!from.empty()) b.copy_in(to.data(), from.data(), from.size_bytes());
    }
    template <class B, class T>
    static void copy_out(B& b, input_span<T> from, std::span<T> to) {
        if (!from.empty()) b.copy_out(to.data(), from.data(), from.size_bytes());
    }

private:
    template <class W>
    struct viewed {
        static constexpr bool refused = is_quantized<W>;
        static_assert(!refused, "moe: unsuitable backend: kernels<cuda_tag> has no products with codes; give the experts "
                                "weights of floats, bfloat16 or float16");
        using type = decltype(std::declval<const std::conditional_t<refused, panels<float>, W>&>().view());
    };
    template <class W>
    using view_of = typename viewed<W>::type;
    template <class W>
    static view_of<W> view(const W& w) {
        if constexpr (is_quantized<W>) return {};
        else return w.view();
    }

    static std::int64_t elements(index_t rows, index_t cols) { return std::int64_t{rows} * cols; }

    // At least one thread for every element.
    template <class B, class Body>
    static void launch(B& b, std::int64_t count, const Body& body) {
        if (count <= 0) return;
        b.run(static_cast<index_t>((count + detail::threads_per_block - 1) / detail::threads_per_block), body);
    }

    static index_t first_row(const row_groups& rows) { return rows.groups() > 0 ? rows.begin(0) : 0; }
    static index_t row_count(const row_groups& rows) {
        return rows.groups() > 0 ? rows.end(rows.groups() - 1) - rows.begin(0) : 0;
    }

    // The groups with their offsets in scratch.
    template <class B>
    static detail::device_groups bring(B& b, const row_groups& rows) {
        const std::span<index_t> offset = b.scratch().template take<index_t>(rows.offset.size());
        copy_in(b, rows.offset, offset);
        return {offset.data(), rows.gather.empty() ? nullptr : rows.gather.data(), std::max(rows.groups(), index_t{0}),
                first_row(rows), row_count(rows)};
    }

    template <class T>
    static detail::device_sum<T> seen_by_sums(const plan_view& plan, std::span<const T> weight) {
        return {plan.token,       plan.slot,       plan.token_offset, plan.token_row,
                plan.first_row(), plan.last_row(), plan.tokens,       weight};
    }

    // values[i] becomes the sum of values[0 .. i].
    template <class B>
    static void scan(B& b, std::span<index_t> values) {
        const arena_frame frame(b.scratch());
        const std::size_t chunks = (values.size() + detail::scan_chunk - 1) / detail::scan_chunk;
        const std::span<index_t> sums = b.scratch().template take<index_t>(chunks);
        launch(b, static_cast<std::int64_t>(chunks), detail::scan_chunks_body{values, sums});
        launch(b, 1, detail::scan_sums_body{sums});
        launch(b, static_cast<std::int64_t>(chunks), detail::scan_values_body{values, sums});
    }
};

MOE_END
