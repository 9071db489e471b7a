// layer/layer_flow: how a layer runs its parts, forward and backward
// SPDX-License-Identifier: Apache-2.0
//
// Forward: router, plan, experts, combine, observer, shared experts. With a record (training) the memory is the tape's and
// what the parts return is kept; without one it is scratch, and what a part returns is gone when it returns.
// Backward: the parts in reverse, with the plan of the forward.
#pragma once

#include "moe/core/tape.hpp"
#include "moe/layer/layer_check.hpp"
#include "moe/layer/masked_rows.hpp"

MOE_BEGIN

namespace detail {

// Runs a part inside its own frames; what it returns is kept in training and gone in inference.
template <class B, class Saved, class F>
void run_kept(B& b, arena& memory, Saved* kept, const F& f) {
    arena_frame scratch(b.scratch());
    if (kept != nullptr) {
        *kept = value_of(f);
    } else {
        arena_frame saved(memory);
        (void)value_of(f);
    }
}

template <class B, class T, class Router, class Experts, class... More>
struct layer_flow {
    using K = kernels_of<B>;
    using parts = std::tuple<Router, Experts, More...>;

    struct record {
        typename Router::template record<B> router;
        part_saved_t<Experts, B, T> experts;
        std::tuple<part_saved_t<More, B, T>...> more;
        nothing nothing_of_combine;  // of a layer without a combine among its parts
        moe::routing<T> routing;
        matrix_view<T> rows;
    };

    const parts& all;
    const Router& router;  // the first part, or another one of its type
    B& b;

    plan_view forward(const batch<T>& in, matrix_view<T> y, arena& memory, record* rec) const {
        const routing<T> s = router.route(b, in, memory, rec == nullptr ? nullptr : &rec->router);
        const plan_view plan = K::build_plan(b, in.tokens(), s.experts, s.routes.offset, s.routes.expert, memory);
        const matrix_view<T> rows = memory.take<T>(plan.rows(), outputs_of(experts()));
        run_kept(b, memory, rec == nullptr ? nullptr : &rec->experts,
                 [&] { return experts().forward(b, s, plan, rows); });
        const auto& combine = combine_of<T>(all);
        run_kept(b, memory, kept_combine(rec), [&] { return combine.forward(b, s, plan, rows, y); });
        for_role<observer_part>(all, [&](const auto& observer, auto) {
            observer.forward(s, plan, matrix_view<const T>(rows));
        });
        for_role<shared_part>(all, [&](const auto& shared, auto place) {
            constexpr std::size_t i = decltype(place)::value - 2;
            run_kept(b, memory, rec == nullptr ? nullptr : &std::get<i>(rec->more),
                     [&] { return shared.forward(b, s, y); });
        });
        if (rec != nullptr) {
            rec->routing = s;
            rec->rows = rows;
        }
        return plan;
    }

    // Zeros in the tape for what losses and steps add to.
    static void clear_adjoint(B& b, const record& rec, tape<T>& tape) {
        const auto zeros = [&](matrix_view<const T> like) {
            matrix_view<T> m = tape.memory().template take<T>(like.rows, like.cols);
            K::fill(b, m, T(0));
            return m;
        };
        const batch<T>& in = tape.in();
        const routing<T>& s = rec.routing;
        tape.d.logits = zeros(s.logits);
        tape.d.scores = zeros(s.scores);
        tape.d.weight = tape.memory().template take<T>(s.routes.weight.size());
        K::fill(b, as_row(tape.d.weight), T(0));
        if (in.features.data != in.x.data) tape.d.features = zeros(in.features);
        if (in.state.data != nullptr) tape.d.state = zeros(in.state);
        if (in.next_state.data != nullptr) tape.d.next_state = zeros(in.next_state);
    }

    template <class G, class GRouter>
    void backward(const record& rec, const plan_view& plan, matrix_view<const T> dy, adjoint<T>& d, matrix_view<T> dx,
                  G& g, GRouter& g_router) const {
        const routing<T>& s = rec.routing;
        K::fill(b, dx, T(0));
        d.x = dx;
        if (d.features.data == nullptr) d.features = dx;
        const matrix_view<const T> d_routed = shared_backward(rec, dy, d, g);
        arena_frame frame(b.scratch());
        const matrix_view<T> d_rows = b.scratch().template take<T>(rec.rows.rows, rec.rows.cols);
        const matrix_view<const T> rows = rec.rows;
        auto&& g_combine = combine_gradient(std::type_identity<parts>{}, g);
        call_backward(combine_of<T>(all), *kept_combine(&rec), g_combine, b, s, plan, rows, d_routed, d_rows, d);
        const matrix_view<const T> upstream = d_rows;
        for_role<observer_part>(all, [&](const auto& observer, auto) { observer.backward(s, plan, upstream); });
        {
            arena_frame scratch(b.scratch());
            call_backward(experts(), rec.experts, std::get<1>(g), b, s, plan, upstream, d);
        }
        router.backward(b, rec.router, d, g_router);
        clear_masked_rows(b, s.in().mask, d.features);
        clear_masked_rows(b, s.in().mask, dx);
    }

private:
    const Experts& experts() const { return std::get<1>(all); }

    // Returns the gradient of what the routed experts gave: dy, but behind shared experts that mix it. That one lies in
    // scratch, in the frame of the caller.
    template <class G>
    matrix_view<const T> shared_backward(const record& rec, matrix_view<const T> dy, adjoint<T>& d, G& g) const {
        matrix_view<const T> d_routed = dy;
        for_role<shared_part>(all, [&](const auto& shared, auto place) {
            constexpr std::size_t i = decltype(place)::value;
            const routing<T>& s = rec.routing;
            if constexpr (mixes_routed<std::tuple_element_t<i, parts>>()) {
                const matrix_view<T> mixed = b.scratch().template take<T>(dy.rows, dy.cols);
                arena_frame scratch(b.scratch());
                call_backward(shared, std::get<i - 2>(rec.more), std::get<i>(g), b, s, dy, mixed, d);
                d_routed = mixed;
            } else {
                arena_frame scratch(b.scratch());
                call_backward(shared, std::get<i - 2>(rec.more), std::get<i>(g), b, s, dy, d);
            }
        });
        return d_routed;
    }

    // Where a record keeps what the combine returned.
    template <class Record>
    static auto kept_combine(Record* rec) {
        constexpr std::size_t place = find_role<parts, combine_part>();
        if constexpr (place < 2 + sizeof...(More)) return rec == nullptr ? nullptr : &std::get<place - 2>(rec->more);
        else return rec == nullptr ? nullptr : &rec->nothing_of_combine;
    }
};

}  // namespace detail

MOE_END
