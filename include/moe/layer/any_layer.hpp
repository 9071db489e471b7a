// layer/any_layer: any layer of one scalar type, chosen at run time, x [T,D] -> y [T,Dout], and back
// SPDX-License-Identifier: Apache-2.0
//
// Holds a layer of any composition behind one virtual call per forward, backward, route and visit; results have the same
// bits as the layer's own. It is bound to one type of backend, the CPU unless said otherwise. The library's only type
// erasure.
#pragma once

#include <memory>

#include "moe/core/tensor_ref.hpp"
#include "moe/layer/layer.hpp"

MOE_BEGIN

class cpu;

// The gradient of the layer it was made by; copies are deep.
class any_gradient {
public:
    template <class G>
    explicit any_gradient(G g) : held_(std::make_unique<holder<G>>(std::move(g))) {}
    any_gradient(const any_gradient& o) : held_(o.held_->copy()) {}
    any_gradient(any_gradient&&) noexcept = default;
    any_gradient& operator=(any_gradient o) noexcept {
        held_ = std::move(o.held_);
        return *this;
    }

    // The gradient inside; value_error if it is of another type of layer.
    template <class G>
    G& as() {
        if (held_->type() != &detail::record_type<G>) {
            throw_value("gradient", "one made by this layer", "one made by another type of layer");
        }
        return static_cast<holder<G>&>(*held_).value;
    }

private:
    struct base {
        virtual ~base() = default;
        virtual std::unique_ptr<base> copy() const = 0;
        virtual const void* type() const = 0;
    };
    template <class G>
    struct holder final : base {
        G value;
        explicit holder(G g) : value(std::move(g)) {}
        std::unique_ptr<base> copy() const override { return std::make_unique<holder>(value); }
        const void* type() const override { return &detail::record_type<G>; }
    };

    std::unique_ptr<base> held_;
};

template <class T, class B = cpu>
class any_layer {
public:
    using scalar = T;
    using gradient = any_gradient;

    template <class Router, class Experts, class... More>
    any_layer(layer<Router, Experts, More...> l) {
        using L = layer<Router, Experts, More...>;
        constexpr bool same = std::is_same_v<typename L::scalar, T>;
        static_assert(same, "moe::any_layer: the layer computes in another scalar type");
        if constexpr (same) held_ = std::make_unique<holder<L>>(std::move(l));
    }
    any_layer(const any_layer& o) : held_(o.held_->copy()) {}
    any_layer(any_layer&&) noexcept = default;
    any_layer& operator=(any_layer o) noexcept {
        held_ = std::move(o.held_);
        return *this;
    }

    index_t features() const { return held_->features(); }
    index_t outputs() const { return held_->outputs(); }
    index_t experts() const { return held_->experts(); }

    // As layer's.
    void forward(B& b, const batch<T>& in, matrix_view<T> y) const { held_->forward(b, in, y); }
    void forward(B& b, const batch<T>& in, matrix_view<T> y, tape<T>& tape) const { held_->forward(b, in, y, tape); }
    void backward(B& b, matrix_view<const T> dy, tape<T>& tape, matrix_view<T> dx, any_gradient& g) const {
        held_->backward(b, dy, tape, dx, g);
    }
    routing<T> route(B& b, const batch<T>& in, arena& memory) const { return held_->route(b, in, memory); }
    any_gradient make_gradient() const { return held_->make_gradient(); }

    template <class X, class Y>
    void operator()(B& b, const X& x, Y&& y) const {
        batch<T> in;
        in.x = as_matrix<const T>(x, features(), "x");
        forward(b, in, as_matrix<T>(y, outputs(), "y"));
    }
    matrix<T> operator()(B& b, const batch<T>& in) const {
        matrix<T> y(in.tokens(), outputs());
        forward(b, in, y.view());
        return y;
    }

    // The layer inside, if it has this type; nullptr otherwise.
    template <class Layer>
    Layer* target() {
        if (held_->type() != &detail::record_type<Layer>) return nullptr;
        return &static_cast<holder<Layer>&>(*held_).value;
    }

    template <class V, class L, class... P>
        requires std::is_same_v<std::remove_const_t<L>, any_layer>
    static void parameters(V&& v, L& l, P&... others) {
        visit<false>(v, l, others...);
    }
    template <class V, class L>
        requires std::is_same_v<std::remove_const_t<L>, any_layer>
    static void state(V&& v, L& l) {
        visit<true>(v, l);
    }

private:
    // Takes one tensor of several objects in step: the layer's first.
    struct receiver {
        const void* visitor;
        void (*floats)(const void* visitor, const parameter_name&, any_tensor<float>*);
        void (*doubles)(const void* visitor, const parameter_name&, any_tensor<double>*);
        void (*shorts)(const void* visitor, const parameter_name&, any_tensor<bfloat16>*);
        void (*halves)(const void* visitor, const parameter_name&, any_tensor<float16>*);
        void (*codes)(const void* visitor, const parameter_name&, any_tensor<unsigned char>*);

        void take(const parameter_name& name, any_tensor<float>* t) const { floats(visitor, name, t); }
        void take(const parameter_name& name, any_tensor<double>* t) const { doubles(visitor, name, t); }
        void take(const parameter_name& name, any_tensor<bfloat16>* t) const { shorts(visitor, name, t); }
        void take(const parameter_name& name, any_tensor<float16>* t) const { halves(visitor, name, t); }
        void take(const parameter_name& name, any_tensor<unsigned char>* t) const { codes(visitor, name, t); }
    };

    struct base {
        virtual ~base() = default;
        virtual std::unique_ptr<base> copy() const = 0;
        virtual index_t features() const = 0;
        virtual index_t outputs() const = 0;
        virtual index_t experts() const = 0;
        virtual void forward(B&, const batch<T>&, matrix_view<T>) const = 0;
        virtual void forward(B&, const batch<T>&, matrix_view<T>, tape<T>&) const = 0;
        virtual void backward(B&, matrix_view<const T>, tape<T>&, matrix_view<T>, any_gradient&) const = 0;
        virtual routing<T> route(B&, const batch<T>&, arena&) const = 0;
        virtual any_gradient make_gradient() const = 0;
        virtual void visit(const parameter_name& here, const receiver&, any_gradient** others, std::size_t count) = 0;
        virtual void visit_state(const parameter_name& here, const receiver&) = 0;
        virtual const void* type() const = 0;
    };

    template <class Layer>
    struct holder final : base {
        using G = typename Layer::gradient;
        Layer value;

        explicit holder(Layer l) : value(std::move(l)) {}
        std::unique_ptr<base> copy() const override { return std::make_unique<holder>(value); }
        index_t features() const override { return value.features(); }
        index_t outputs() const override { return value.outputs(); }
        index_t experts() const override { return value.router().experts(); }
        void forward(B& b, const batch<T>& in, matrix_view<T> y) const override { value.forward(b, in, y); }
        void forward(B& b, const batch<T>& in, matrix_view<T> y, tape<T>& t) const override {
            value.forward(b, in, y, t);
        }
        void backward(B& b, matrix_view<const T> dy, tape<T>& t, matrix_view<T> dx, any_gradient& g) const override {
            value.backward(b, dy, t, dx, own(g));
        }
        routing<T> route(B& b, const batch<T>& in, arena& memory) const override {
            return value.route(b, in, memory);
        }
        any_gradient make_gradient() const override { return any_gradient(value.make_gradient()); }

        void visit(const parameter_name& here, const receiver& r, any_gradient** others, std::size_t count) override {
            const auto call = [&r](const parameter_name& name, auto& first, auto&... more) {
                using E = typename decltype(flat(first))::value_type;
                static_assert(std::is_same_v<E, T>, "moe::any_layer: a parameter has another scalar type");
                any_tensor<E> all[] = {any_tensor<E>::of(first), any_tensor<E>::of(more)...};
                r.take(name, all);
            };
            const named_visitor<const decltype(call)> at{call, here};
            const auto other = [&](std::size_t i) -> G& { return others[i]->template as<G>(); };
            if (count == 0) Layer::parameters(at, value);
            else if (count == 1) Layer::parameters(at, value, other(0));
            else if (count == 2) Layer::parameters(at, value, other(0), other(1));
            else Layer::parameters(at, value, other(0), other(1), other(2));
        }
        void visit_state(const parameter_name& here, const receiver& r) override {
            const auto call = [&r](const parameter_name& name, auto& tensor) {
                auto one = any_tensor<any_element<typename decltype(flat(tensor))::value_type>>::of(tensor);
                r.take(name, &one);
            };
            Layer::state(named_visitor<const decltype(call)>{call, here}, value);
        }
        const void* type() const override { return &detail::record_type<Layer>; }

        static G& own(any_gradient& g) { return g.template as<G>(); }
    };

    // Parameters have the layer's scalar type; only state (a selection bias, short weights) may have another.
    template <bool State, class V, class E, std::size_t... Place>
    static void hand_over(const void* v, const parameter_name& name, any_tensor<E>* tensors,
                          std::index_sequence<Place...>) {
        if constexpr (State || std::is_same_v<E, T>) static_cast<const V*>(v)->visitor(name, tensors[Place]...);
    }

    // Constness ends at the type erasure: visitors of a const layer or gradient only read.
    template <bool State, class V, class... P>
    static void visit(const V& v, const any_layer& l, P&... others) {
        static_assert(sizeof...(P) <= 3, "moe::any_layer: at most three objects are visited beside the layer");
        using all = std::make_index_sequence<1 + sizeof...(P)>;
        const receiver r{
            &v,
            [](const void* p, const parameter_name& n, any_tensor<float>* t) { hand_over<State, V>(p, n, t, all{}); },
            [](const void* p, const parameter_name& n, any_tensor<double>* t) { hand_over<State, V>(p, n, t, all{}); },
            [](const void* p, const parameter_name& n, any_tensor<bfloat16>* t) {
                hand_over<State, V>(p, n, t, all{});
            },
            [](const void* p, const parameter_name& n, any_tensor<float16>* t) {
                hand_over<State, V>(p, n, t, all{});
            },
            [](const void* p, const parameter_name& n, any_tensor<unsigned char>* t) {
                hand_over<State, V>(p, n, t, all{});
            }};
        any_gradient* list[] = {const_cast<any_gradient*>(&others)..., nullptr};
        if constexpr (State) l.held_->visit_state(v.here, r);
        else l.held_->visit(v.here, r, list, sizeof...(P));
    }

    std::unique_ptr<base> held_;
};

MOE_END
