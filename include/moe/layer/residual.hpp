// layer/residual: a layer with its skip path: x [T,D] -> skip * x + scale * layer(x)
// SPDX-License-Identifier: Apache-2.0
//
//     moe::residual{moe::layer{...}, {.skip = 1.0, .scale = 1.0}}
//
// Source: every transformer block; Granite (residual_multiplier on the layer), MiniMax (alpha * residual + beta * out).
// The tape shows the inner layer's routing, plan and d, so losses work as with the layer itself. Masked tokens get
// exact zeros.
// errors        a layer whose outputs differ from its features: shape_error
#pragma once

#include "moe/layer/layer.hpp"

MOE_BEGIN

struct residual_options {
    double skip = 1.0;
    double scale = 1.0;
};

namespace detail {

// What a layer made of layers leaves in its own tape; the inner tapes hold the rest.
struct outer_record {
    index_t layers = 0;
};

// to = a * x + b * to for live tokens, 0 for masked ones.
template <class B, class T>
void add_skip(B& b, const batch<T>& in, matrix_view<const T> x, double a, double scale, matrix_view<T> to) {
    kernels_of<B>::for_rows(b, to.rows, [in, x, to, skip = T(a), factor = T(scale)](index_t t) {
        const bool live = in.live(t);
        for (index_t j = 0; j < to.cols; ++j) to(t, j) = live ? skip * x(t, j) + factor * to(t, j) : T(0);
    });
}

// to = factor * from for live tokens, 0 for masked ones.
template <class B, class T>
void scale_live(B& b, const batch<T>& in, matrix_view<const T> from, double scale, matrix_view<T> to) {
    kernels_of<B>::for_rows(b, to.rows, [in, from, to, factor = T(scale)](index_t t) {
        const bool live = in.live(t);
        for (index_t j = 0; j < to.cols; ++j) to(t, j) = live ? factor * from(t, j) : T(0);
    });
}

}  // namespace detail

template <class Layer>
class residual {
public:
    using scalar = typename Layer::scalar;
    using gradient = typename Layer::gradient;
    part_traits traits() const { return traits_of(inner); }

    Layer inner;

    explicit residual(Layer layer, residual_options o = {}) : inner(std::move(layer)), options_(o) {
        if (inner.outputs() != inner.features()) {
            throw_shape("residual: outputs of the layer", std::to_string(inner.features()) + " (its features)",
                        std::to_string(inner.outputs()));
        }
    }

    index_t features() const { return inner.features(); }
    index_t outputs() const { return inner.outputs(); }

    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y) const {
        inner.forward(b, in, y);
        detail::add_skip(b, in, in.x, options_.skip, options_.scale, y);
    }

    template <class B>
    void forward(B& b, const batch<scalar>& in, matrix_view<scalar> y, tape<scalar>& tape) const {
        moe::tape<scalar>& child = tape.child(0);
        inner.forward(b, in, y, child);
        detail::add_skip(b, in, in.x, options_.skip, options_.scale, y);
        tape.begin(in, space_of<typename B::memory>);
        tape.d = child.d;
        tape.keep(&child.routing(), child.plan(), &detail::record_type<residual>,
                  tape.memory().create(detail::outer_record{1}));
    }

    template <class B>
    void backward(B& b, matrix_view<const scalar> dy, tape<scalar>& tape, matrix_view<scalar> dx, gradient& g) const {
        const batch<scalar>& in = tape.in();
        detail::require_shape("dy", dy, in.tokens(), outputs());
        tape.take(&detail::record_type<residual>);
        arena_frame frame(b.scratch());
        const matrix_view<scalar> upstream = b.scratch().template take<scalar>(dy.rows, dy.cols);
        detail::scale_live(b, in, dy, options_.scale, upstream);
        inner.backward(b, upstream, tape.child(0), dx, g);
        detail::scale_live(b, in, dy, options_.skip, upstream);
        kernels_of<B>::add(b, upstream, dx);
    }

    template <class B, class X, class Y>
    void operator()(B& b, const X& x, Y&& y) const {
        batch<scalar> in;
        in.x = as_matrix<const scalar>(x, features(), "x");
        forward(b, in, as_matrix<scalar>(y, outputs(), "y"));
    }

    gradient make_gradient() const { return inner.make_gradient(); }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        Layer::parameters(v, inner_of(p)...);
    }
    template <class V, class P>
    static void state(V&& v, P& p) {
        Layer::state(v, p.inner);
    }

private:
    template <class P>
    static decltype(auto) inner_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, residual>) return (p.inner);
        else return (p);
    }

    residual_options options_;
};

MOE_END
