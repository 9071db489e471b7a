// layer/layer: router, experts, optional shared experts, combine and observer: x [T,D] -> y [T,Dout], and back
// SPDX-License-Identifier: Apache-2.0
//
//     for every token t            routes of t        = router(x[t])                        router
//     for every expert e           rows of e          = expert_e(x[token of row])           experts
//     for every token t            y[t]               = sum over its rows of weight * row   combine, ascending expert
//                                  y[t]              += shared(x[t])                        shared
//
// The parts stand in this order; shared, combine and observer may be left out (combine: weighted_sum).
//
// x, y          must not overlap; y is written for every token, 0 for one without routes
// training      forward with a tape, then losses add to tape.d, then backward once; gradients accumulate, dx is written
// threads       forward is const: one layer serves many threads, each with its own backend and tape
// memory        a warm call into the caller's y allocates nothing
#pragma once

#include "moe/combine/weighted_sum.hpp"
#include "moe/core/adapt.hpp"
#include "moe/core/tape.hpp"
#include "moe/layer/backend_check.hpp"
#include "moe/layer/half_precision.hpp"
#include "moe/layer/layer_check.hpp"
#include "moe/layer/layer_flow.hpp"
#include "moe/layer/router.hpp"

MOE_BEGIN

template <class Router, class Experts, class... More>
class layer : detail::layer_part<detail::diagnose_layer<Router, Experts, More...>()> {
    static constexpr bool ok = detail::diagnose_layer<Router, Experts, More...>() == detail::layer_fault::none;

public:
    using scalar = typename detail::scalar_of_part<Router>::type;
    using gradient = std::tuple<gradient_t<Router>, gradient_t<Experts>, gradient_t<More>...>;

    // A layer's output depends on what its router depends on.
    part_traits traits() const {
        part_traits t = traits_of(router());
        t.non_negative = t.sums_to_one = false;
        return t;
    }

    layer(Router router, Experts experts, More... more)
        : parts_(std::move(router), std::move(experts), std::move(more)...) {
        if constexpr (ok) check_sizes();
    }

    index_t features() const { return experts().features(); }
    index_t outputs() const { return detail::combine_of<scalar>(parts_).outputs(detail::outputs_of(experts())); }

    auto& router() { return std::get<0>(parts_); }
    const auto& router() const { return std::get<0>(parts_); }
    auto& experts() { return std::get<1>(parts_); }
    const auto& experts() const { return std::get<1>(parts_); }
    template <std::size_t Place>
    auto& part() {
        return std::get<Place>(parts_);
    }
    template <std::size_t Place>
    const auto& part() const {
        return std::get<Place>(parts_);
    }

    // y [T,Dout] is written.
    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y) const {
        forward_with(router(), b, in, y);
    }

    // The same, leaving in the tape what losses and backward need.
    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y, tape<scalar>& tape) const {
        forward_with(router(), b, in, y, tape);
    }

    // dx [T,D] is written; the gradient accumulates. Consumes the tape.
    template <class B>
    void backward(B& b, matrix_view<const scalar> dy, tape<scalar>& tape, matrix_view<scalar> dx, gradient& g) const {
        backward_with(router(), b, dy, tape, dx, g, std::get<0>(g));
    }

    // The three with another router of the same type, for layers that run the same experts several times.
    template <class B>
    void forward_with(const Router& other, B& b, const batch<scalar>& in, matrix_view<scalar> y) const {
        require_backend<B>();
        if constexpr (ok && runs_on<B>()) {
            const batch<scalar> call = checked<B>(other, in, y);
            arena_frame frame(b.scratch());
            (void)flow<B>{parts_, other, b}.forward(call, y, b.scratch(), nullptr);
        }
    }
    template <class B>
    void forward_with(const Router& other, B& b, const batch<scalar>& in, matrix_view<scalar> y,
                      tape<scalar>& tape) const {
        require_backend<B>();
        if constexpr (ok && runs_on<B>()) {
            const batch<scalar>& call = tape.begin(checked<B>(other, in, y), space_of<typename B::memory>);
            record<B>* rec = tape.memory().create(record<B>{});
            const plan_view plan = flow<B>{parts_, other, b}.forward(call, y, tape.memory(), rec);
            flow<B>::clear_adjoint(b, *rec, tape);
            tape.keep(&rec->routing, plan, &detail::record_type<record<B>>, rec);
        }
    }
    template <class B>
    void backward_with(const Router& other, B& b, matrix_view<const scalar> dy, tape<scalar>& tape,
                       matrix_view<scalar> dx, gradient& g, gradient_t<Router>& g_router) const {
        require_backend<B>();
        if constexpr (ok && runs_on<B>()) {
            const batch<scalar>& in = tape.in();
            detail::require_shape("dy", dy, in.tokens(), outputs());
            detail::require_shape("dx", dx, in.tokens(), features());
            detail::require_disjoint("dy", dy, "dx", dx);
            detail::require_disjoint("x", in.x, "dx", dx);
            const auto& rec = *static_cast<const record<B>*>(tape.take(&detail::record_type<record<B>>));
            arena_frame frame(b.scratch());
            flow<B>{parts_, other, b}.backward(rec, tape.plan(), dy, tape.d, dx, g, g_router);
        }
    }

    // x and y: anything as_matrix accepts, of the layer's scalar, bfloat16 or float16 each.
    template <class B, class X, class Y>
    void operator()(B& b, const X& x, Y&& y) const {
        detail::require_views<B, scalar, const X, Y>();
        arena_frame frame(b.scratch());
        batch<scalar> in;
        in.x = detail::widened<scalar>(b, x, features());
        detail::rounded<scalar>(b, std::forward<Y>(y), outputs(), [&](matrix_view<scalar> wide) { forward(b, in, wide); });
    }
    template <class B, class X>
        requires(!std::is_same_v<X, batch<scalar>>)
    matrix<scalar> operator()(B& b, const X& x) const {
        detail::require_views<B, scalar, const X>();
        arena_frame frame(b.scratch());
        batch<scalar> in;
        in.x = detail::widened<scalar>(b, x, features());
        return (*this)(b, in);
    }
    template <class B>
    matrix<scalar> operator()(B& b, const batch<scalar>& in) const {
        matrix<scalar> y(in.tokens(), outputs(), space_of<typename B::memory>);
        forward(b, in, y.view());
        return y;
    }

    // Routes alone, without running the experts; what is returned lives in `memory`. x is all the batch needs.
    template <class B>
    routing<scalar> route(B& b, const batch<scalar>& in, arena& memory) const {
        require_backend<B>();
        if constexpr (ok && runs_on<B>()) {
            const batch<scalar>* call = memory.create(checked_input<B>(router(), in));
            return router().route(b, *call, memory);
        } else {
            return {};
        }
    }

    gradient make_gradient() const {
        return std::apply([](const auto&... part) { return gradient{moe::make_gradient(part)...}; }, parts_);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        detail::visit_parts<parts>(v, [](auto& at, auto& part, auto&... others) {
            using S = std::remove_cvref_t<decltype(part)>;
            if constexpr (has_parameters<S>) S::parameters(at, part, others...);
        }, p...);
    }
    template <class V, class... P>
    static void state(V&& v, P&... p) {
        detail::visit_parts<parts>(v, [](auto& at, auto& part, auto&... others) {
            using S = std::remove_cvref_t<decltype(part)>;
            if constexpr (has_state<S>) S::state(at, part, others...);
        }, p...);
    }

private:
    template <class B>
    using flow = detail::layer_flow<B, scalar, Router, Experts, More...>;
    template <class B>
    using record = typename flow<B>::record;
    using parts = std::tuple<Router, Experts, More...>;

    void check_sizes() const {
        (void)outputs();  // throws if the combine does not fit the experts
        if (experts().experts() < 1) throw_value("experts", "at least 1", std::to_string(experts().experts()));
        if (router().experts() != experts().experts()) {
            throw_value("layer: experts of the bank", std::to_string(router().experts()) + " (experts of the router)",
                        std::to_string(experts().experts()));
        }
        detail::for_role<shared_part>(parts_, [&](const auto& shared, auto) {
            if (shared.features() != features()) {
                throw_shape("shared: features", std::to_string(features()), std::to_string(shared.features()));
            }
            if (shared.outputs() != outputs()) {
                throw_shape("shared: outputs", std::to_string(outputs()), std::to_string(shared.outputs()));
            }
        });
    }

    template <class B>
    static constexpr bool runs_on() {
        return detail::runs_on<B, scalar, Router, Experts, More...>();
    }
    template <class B>
    static constexpr void require_backend() {
        if constexpr (ok) detail::require_runs_on<B, scalar, Router, Experts, More...>();
    }

    template <class B>
    batch<scalar> checked_input(const Router& routes, batch<scalar> in) const {
        detail::require_weights_of<B>(*this);
        if (in.features.data == nullptr && in.features.rows == 0) in.features = in.x;
        detail::require_shape("x", in.x, in.x.rows, features());
        routes.check(in);
        detail::for_role<shared_part>(parts_, [&](const auto& shared, auto) {
            if constexpr (requires { shared.check(in); }) shared.check(in);
        });
        return in;
    }

    template <class B>
    batch<scalar> checked(const Router& routes, const batch<scalar>& in, matrix_view<scalar> y) const {
        const batch<scalar> call = checked_input<B>(routes, in);
        detail::require_shape("y", y, call.tokens(), outputs());
        detail::require_disjoint("x", call.x, "y", y);
        detail::require_disjoint("batch.features", call.features, "y", y);
        return call;
    }

    parts parts_;
};

template <class Router, class Experts, class... More>
layer(Router, Experts, More...) -> layer<Router, Experts, More...>;

template <std::size_t Place, class... Parts>
auto& part_at(layer<Parts...>& l) {
    return l.template part<Place>();
}
template <std::size_t Place, class... Parts>
const auto& part_at(const layer<Parts...>& l) {
    return l.template part<Place>();
}

// The only step of this type in the layer's router: moe::get<moe::selection_bias>(layer).
template <class Step, class... Parts>
auto& get(layer<Parts...>& l) {
    return get<Step>(l.router());
}
template <class Step, class... Parts>
const auto& get(const layer<Parts...>& l) {
    return get<Step>(l.router());
}

MOE_END
