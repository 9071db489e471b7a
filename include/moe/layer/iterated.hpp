// layer/iterated: the same experts several times in one layer, each time with a router of its own
// SPDX-License-Identifier: Apache-2.0
//
//     x_0 = x,   x_i = layer with router i (x_{i-1}) + x_{i-1},   y = x_C          moe::iterated{layer, {router2,
//     router3}}
//
// Source: Chain-of-Experts (Wang et al. 2025). The layer's own router is the first; with no further routers it serves
// all `times`. All of the layer takes part each time: experts, shared experts, combine. Every pass has a tape of its
// own, tape.child(i), with its routing, plan and d, where losses per pass go; the outer tape shows the first pass.
// traits        inner_residual adds x_{i-1} each time; outer_residual adds x to y (the skip path of Chain-of-Experts)
// errors        outputs that differ from the features: shape_error; fewer than 1 pass: value_error
// memory        training keeps C records and (C - 1) T D
#pragma once

#include <vector>

#include "moe/layer/residual.hpp"

MOE_BEGIN

struct iterated_options {
    index_t times = 0;            // passes with one router; 0: one pass for every router
    bool inner_residual = true;
    bool outer_residual = false;
};

template <class Layer, class Router>
class iterated {
public:
    using scalar = typename Layer::scalar;
    part_traits traits() const { return traits_of(inner); }

    struct gradient {
        typename Layer::gradient layer;
        std::vector<gradient_t<Router>> routers;
    };

    Layer inner;
    std::vector<Router> routers;  // of the second pass, the third, ...

    explicit iterated(Layer layer, std::vector<Router> more = {}, iterated_options o = {})
        : inner(std::move(layer)), routers(std::move(more)), options_(o) {
        if (inner.outputs() != inner.features()) {
            throw_shape("iterated: outputs of the layer", std::to_string(inner.features()) + " (its features)",
                        std::to_string(inner.outputs()));
        }
        const index_t all = static_cast<index_t>(routers.size()) + 1;
        if (o.times < 0 || (all > 1 && o.times != 0 && o.times != all)) {
            throw_value("iterated.times", all > 1 ? std::string("0 or ") + std::to_string(all) + " (routers)" : "at least 0",
                        std::to_string(o.times));
        }
        for (const Router& r : routers) {
            if (r.experts() == inner.router().experts() && r.features() == inner.router().features()) continue;
            throw_value("iterated: experts of a router", std::to_string(inner.router().experts()),
                        std::to_string(r.experts()));
        }
    }

    index_t features() const { return inner.features(); }
    index_t outputs() const { return inner.outputs(); }
    index_t passes() const { return options_.times > 0 ? options_.times : static_cast<index_t>(routers.size()) + 1; }
    const Router& router(index_t pass) const {
        return pass == 0 || routers.empty() ? inner.router() : routers[std::size_t(pass) - 1];
    }

    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y) const {
        arena_frame frame(b.scratch());
        run(b, in, y, b.scratch(), [&](index_t pass, const batch<scalar>& call, matrix_view<scalar> out) {
            inner.forward_with(router(pass), b, call, out);
        });
    }

    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y, tape<scalar>& tape) const {
        tape.begin(in, space_of<typename B::memory>);
        run(b, in, y, tape.memory(), [&](index_t pass, const batch<scalar>& call, matrix_view<scalar> out) {
            inner.forward_with(router(pass), b, call, out, tape.child(std::size_t(pass)));
        });
        moe::tape<scalar>& first = tape.child(0);
        tape.d = first.d;
        tape.keep(&first.routing(), first.plan(), &detail::record_type<iterated>,
                  tape.memory().create(detail::outer_record{passes()}));
    }

    template <class B>
    void backward(B& b, matrix_view<const scalar> dy, tape<scalar>& tape, matrix_view<scalar> dx, gradient& g) const {
        const batch<scalar>& in = tape.in();
        detail::require_shape("dy", dy, in.tokens(), outputs());
        detail::require_shape("dx", dx, in.tokens(), features());
        tape.take(&detail::record_type<iterated>);
        arena_frame frame(b.scratch());
        const auto take = [&] { return b.scratch().template take<scalar>(dy.rows, dy.cols); };
        matrix_view<scalar> upstream = take();
        matrix_view<scalar> next = take();
        detail::scale_live(b, in, dy, 1.0, upstream);
        for (index_t pass = passes() - 1; pass >= 0; --pass) {
            const matrix_view<scalar> out = pass == 0 ? dx : next;
            auto& g_router = pass == 0 || routers.empty() ? std::get<0>(g.layer) : g.routers[std::size_t(pass) - 1];
            inner.backward_with(router(pass), b, upstream, tape.child(std::size_t(pass)), out, g.layer, g_router);
            if (options_.inner_residual) kernels_of<B>::add(b, upstream, out);
            std::swap(upstream, next);
        }
        if (options_.outer_residual) {
            detail::scale_live(b, in, dy, 1.0, upstream);
            kernels_of<B>::add(b, upstream, dx);
        }
        if (in.features.data == nullptr) return;
        const matrix_view<scalar> d_features = tape.d.features.data == nullptr ? dx : tape.d.features;
        for (index_t pass = 1; pass < passes(); ++pass) {
            kernels_of<B>::add(b, tape.child(std::size_t(pass)).d.features, d_features);
        }
    }

    template <class B, class X, class Y>
    void operator()(B& b, const X& x, Y&& y) const {
        batch<scalar> in;
        in.x = as_matrix<const scalar>(x, features(), "x");
        forward(b, in, as_matrix<scalar>(y, outputs(), "y"));
    }

    gradient make_gradient() const {
        gradient g{inner.make_gradient(), {}};
        for (const Router& r : routers) g.routers.push_back(moe::make_gradient(r));
        return g;
    }

    template <class V, class L, class... P>
    static void parameters(V&& v, L& layer, P&... p) {
        Layer::parameters(v, layer_of(layer), layer_of(p)...);
        if constexpr (has_parameters<Router>) {
            for (std::size_t i = 0; i < layer.routers.size(); ++i) {
                Router::parameters(nested(nested(v, "routers"), "", index_t(i)), layer.routers[i], p.routers[i]...);
            }
        }
    }
    template <class V, class P>
    static void state(V&& v, P& p) {
        Layer::state(v, p.inner);
        if constexpr (has_state<Router>) {
            for (std::size_t i = 0; i < p.routers.size(); ++i) {
                Router::state(nested(nested(v, "routers"), "", index_t(i)), p.routers[i]);
            }
        }
    }

private:
    // pass(number, batch, out) for every pass; the values between passes live in `memory`.
    template <class B, class F>
    void run(B& b, const batch<scalar>& in, matrix_view<scalar> y, arena& memory, const F& pass) const {
        detail::require_shape("y", y, in.tokens(), outputs());
        detail::require_disjoint("x", in.x, "y", y);
        batch<scalar> call = in;
        for (index_t i = 0; i < passes(); ++i) {
            const bool last = i == passes() - 1;
            const matrix_view<scalar> out = last ? y : memory.template take<scalar>(in.tokens(), outputs());
            pass(i, call, out);
            if (options_.inner_residual) detail::add_skip(b, in, call.x, 1.0, 1.0, out);
            call.x = out;
        }
        if (options_.outer_residual) detail::add_skip(b, in, in.x, 1.0, 1.0, y);
    }

    template <class P>
    static decltype(auto) layer_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, iterated>) return (p.inner);
        else return (p.layer);
    }

    iterated_options options_;
};

template <class Router, class... Parts>
iterated(layer<Router, Parts...>) -> iterated<layer<Router, Parts...>, Router>;
template <class Router, class... Parts>
iterated(layer<Router, Parts...>, std::vector<Router>) -> iterated<layer<Router, Parts...>, Router>;
template <class Router, class... Parts>
iterated(layer<Router, Parts...>, std::vector<Router>, iterated_options) -> iterated<layer<Router, Parts...>, Router>;

MOE_END
