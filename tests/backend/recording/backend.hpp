// A backend from outside the library, with memory of its own: it opens it inside its verbs only, and writes down their
// names. The verbs compute as the reference does.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "backend/recording/memory.hpp"
#include "moe/backend/reference.hpp"

namespace recording {

struct tag {};

class backend {
public:
    using tag = recording::tag;
    using memory = closed_memory;

    moe::arena& scratch() { return scratch_; }

    std::vector<std::string> verbs;   // in the order of the calls; verbs that verbs call are not among them
    std::vector<std::string> faults;  // views and row programs that point into the host's memory

    // A verb runs while this lives.
    class call {
    public:
        call(backend& b, const char* verb) : b_(b) {
            if (b_.depth_++ == 0) b_.verbs.emplace_back(verb);
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;
        ~call() { --b_.depth_; }

        // Every argument that points somewhere points into the backend's memory.
        template <class... P>
        call& sees(const P*... p) {
            ((p == nullptr || region::get().holds(p) ? void() : fault()), ...);
            return *this;
        }

        // A row program is copied byte by byte and carries no address of the host's memory.
        template <class P>
        void runs(const P& program) {
            static_assert(std::is_trivially_copyable_v<P>, "a device copies row programs byte by byte");
            if (b_.depth_ == 1 && b_.host_.in(program)) fault();
        }

    private:
        void fault() { b_.faults.push_back("verb " + std::to_string(b_.verbs.size()) + ", " + b_.verbs.back()); }

        backend& b_;
        opened memory_;
    };

private:
    moe::arena scratch_{moe::space_of<memory>};
    host_addresses host_;
    int depth_ = 0;
};

}  // namespace recording

namespace moe {

template <>
struct kernels<recording::tag> {
    using base = kernels<reference_tag>;
    using call = recording::backend::call;

    template <class B, class P>
    static void for_rows(B& b, index_t n, const P& program) {
        call c(b, "for_rows");
        c.runs(program);
        base::for_rows(b, n, program);
    }

    template <class B, class T>
    static void grouped_linear(B& b, const row_groups& rows, input_view<T> a, const panels<T>& w, input_view<T> bias,
                               matrix_view<T> out) {
        call c(b, "grouped_linear");
        c.sees(rows.gather.data(), a.data, w.span().data(), bias.data, out.data);
        base::grouped_linear<B, T>(b, rows, a, w, bias, out);
    }

    template <class B, class T, class A>
    static void grouped_activation(B& b, const row_groups& rows, input_view<T> a, const panels<T>& w,
                                   input_view<T> bias, const A& act, matrix_view<T> h,
                                   std::type_identity_t<matrix_view<T>> z) {
        call c(b, "grouped_activation");
        c.sees(rows.gather.data(), a.data, w.span().data(), bias.data, h.data, z.data);
        base::grouped_activation<B, T, A>(b, rows, a, w, bias, act, h, z);
    }

    template <class B, class T, class A>
    static void grouped_gated_activation(B& b, const row_groups& rows, input_view<T> a, const panels<T>& w_gate,
                                         const panels<T>& w_up, input_view<T> bias_gate, input_view<T> bias_up,
                                         const A& act, matrix_view<T> h, std::type_identity_t<matrix_view<T>> z_gate,
                                         std::type_identity_t<matrix_view<T>> z_up) {
        call c(b, "grouped_gated_activation");
        c.sees(rows.gather.data(), a.data, w_gate.span().data(), w_up.span().data(), bias_gate.data, bias_up.data,
               h.data, z_gate.data, z_up.data);
        base::grouped_gated_activation<B, T, A>(b, rows, a, w_gate, w_up, bias_gate, bias_up, act, h, z_gate, z_up);
    }

    template <class B, class T>
    static void grouped_input_gradient(B& b, const row_groups& rows, input_view<T> dc, const panels<T>& w,
                                       matrix_view<T> da, bool accumulate) {
        call c(b, "grouped_input_gradient");
        c.sees(dc.data, w.span().data(), da.data);
        base::grouped_input_gradient<B, T>(b, rows, dc, w, da, accumulate);
    }

    template <class B, class T>
    static void grouped_weight_gradient(B& b, const row_groups& rows, input_view<T> dc, input_view<T> a,
                                        panels<T>& dw) {
        call c(b, "grouped_weight_gradient");
        c.sees(rows.gather.data(), dc.data, a.data, dw.span().data());
        base::grouped_weight_gradient<B, T>(b, rows, dc, a, dw);
    }

    template <class B, class T>
    static void grouped_bias_gradient(B& b, const row_groups& rows, input_view<T> dc, matrix_view<T> db) {
        call c(b, "grouped_bias_gradient");
        c.sees(dc.data, db.data);
        base::grouped_bias_gradient<B, T>(b, rows, dc, db);
    }

    template <class B, class T, class A>
    static void activation_gradient(B& b, const row_groups& rows, input_view<T> z, const A& act, matrix_view<T> dh) {
        call c(b, "activation_gradient");
        c.sees(z.data, dh.data);
        base::activation_gradient<B, T, A>(b, rows, z, act, dh);
    }

    template <class B, class T, class A>
    static void gated_activation_gradient(B& b, const row_groups& rows, input_view<T> z_gate, input_view<T> z_up,
                                          input_view<T> dh, const A& act, matrix_view<T> d_gate, matrix_view<T> d_up) {
        call c(b, "gated_activation_gradient");
        c.sees(z_gate.data, z_up.data, dh.data, d_gate.data, d_up.data);
        base::gated_activation_gradient<B, T, A>(b, rows, z_gate, z_up, dh, act, d_gate, d_up);
    }

    template <class B>
    static plan_view build_plan(B& b, index_t tokens, index_t experts, std::span<const index_t> offset,
                                std::span<const index_t> expert, arena& memory) {
        call c(b, "build_plan");
        c.sees(offset.data(), expert.data());
        return base::build_plan(b, tokens, experts, offset, expert, memory);
    }

    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight, matrix_view<T> y,
                             bool accumulate) {
        call c(b, "weighted_sum");
        c.sees(plan.slot.data(), plan.token_offset.data(), plan.token_row.data(), rows.data, weight.data(), y.data);
        base::weighted_sum<B, T>(b, plan, rows, weight, y, accumulate);
    }

    template <class B, class T>
    static void weighted_sum_gradient(B& b, const plan_view& plan, input_view<T> rows, input_span<T> weight,
                                      input_view<T> dy, matrix_view<T> d_rows,
                                      std::type_identity_t<std::span<T>> d_weight) {
        call c(b, "weighted_sum_gradient");
        c.sees(plan.slot.data(), plan.token.data(), rows.data, weight.data(), dy.data, d_rows.data, d_weight.data());
        base::weighted_sum_gradient<B, T>(b, plan, rows, weight, dy, d_rows, d_weight);
    }

    template <class B, class T>
    static void copy(B& b, input_view<T> from, matrix_view<T> to) {
        call c(b, "copy");
        c.sees(from.data, to.data);
        base::copy<B, T>(b, from, to);
    }

    template <class B, class T>
    static void fill(B& b, matrix_view<T> to, std::type_identity_t<T> value) {
        call c(b, "fill");
        c.sees(to.data);
        base::fill<B, T>(b, to, value);
    }

    template <class B, class T>
    static void add(B& b, input_view<T> from, matrix_view<T> to) {
        call c(b, "add");
        c.sees(from.data, to.data);
        base::add<B, T>(b, from, to);
    }

    template <class B, class T>
    static void copy_in(B& b, input_span<T> from, std::span<T> to) {
        call c(b, "copy_in");
        c.sees(to.data());
        base::copy_in<B, T>(b, from, to);
    }

    template <class B, class T>
    static void copy_out(B& b, input_span<T> from, std::span<T> to) {
        call c(b, "copy_out");
        c.sees(from.data());
        base::copy_out<B, T>(b, from, to);
    }
};

}  // namespace moe
