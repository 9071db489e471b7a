// core/parameter: how parameters are visited: one static function per part, several same-shaped objects in step
// SPDX-License-Identifier: Apache-2.0
//
// A part with parameters says
//
//     template <class V, class... P> static void parameters(V&& v, P&... p) { v("weight", p.weight...); }
//
// and gets optimisers, gradients, save and load from it: the visitor is called once per tensor with the value, its
// gradient, its momentum, in step. A tensor is a scalar, an array, a matrix or panels; flat(tensor) is its elements as
// stored. `state(v, p...)` names, in the same way, what is saved but not trained (a selection bias).
#pragma once

#include "moe/core/code_format.hpp"
#include "moe/core/mastered.hpp"

MOE_BEGIN

// The path of a tensor inside a layer, e.g. router.0.weight; built on the stack while visiting.
struct parameter_name {
    const parameter_name* parent = nullptr;
    const char* part = "";
    index_t index = -1;

    std::string text() const {
        std::string own = index >= 0 ? std::to_string(index) : std::string(part);
        return parent == nullptr ? own : parent->text() + "." + own;
    }
};

template <class T>
    requires std::is_arithmetic_v<T>
std::span<T> flat(T& value) {
    return {&value, 1};
}
template <class T>
std::span<T> flat(std::span<T> values) {
    return values;
}
template <class C>
    requires(!std::is_arithmetic_v<C>) && requires(C& c) { c.data(), c.size(); }
auto flat(C& values) {
    return std::span(values.data(), values.size());
}
template <class T, index_t together>
std::span<T> flat(panels<T, together>& p) {
    return p.span();
}
template <class Format>
std::span<code_byte<Format>> flat(quantized_panels<Format>& p) {
    return p.span();
}
template <class Format>
std::span<const code_byte<Format>> flat(const quantized_panels<Format>& p) {
    return p.span();
}
template <class T, index_t together>
std::span<const T> flat(const panels<T, together>& p) {
    return p.span();
}

template <class W>
std::span<float> flat(mastered<W>& w) {
    return w.span();
}
template <class W>
std::span<const float> flat(const mastered<W>& w) {
    return w.span();
}

// Call after elements of flat(tensor) were written: brings up to date what a tensor derives from them. run(n, f) calls
// f(0) ... f(n-1).
template <class Tensor, class Run>
void elements_changed(Tensor& tensor, const Run& run) {
    if constexpr (requires { tensor.changed(run); }) tensor.changed(run);
    else if constexpr (requires { tensor.changed(); }) tensor.changed();
}
template <class Tensor>
void elements_changed(Tensor& tensor) {
    if constexpr (requires { tensor.changed(); }) tensor.changed();
}

// A visitor that knows where it stands: hands (parameter_name, tensors...) to the visitor it holds.
template <class V>
struct named_visitor {
    V& visitor;
    parameter_name here;

    template <class... P>
    void operator()(const char* leaf, P&... tensors) const {
        visitor(parameter_name{here.part[0] == 0 && here.index < 0 ? nullptr : &here, leaf, -1}, tensors...);
    }
};

// The visitor for a part inside the part that `v` visits: `nested(v, "experts")`, `nested(v, "", 3)`.
template <class V>
named_visitor<V> nested(const named_visitor<V>& v, const char* part, index_t index = -1) {
    return {v.visitor, {v.here.part[0] == 0 && v.here.index < 0 ? nullptr : &v.here, part, index}};
}

namespace detail {

struct no_visitor {
    template <class... P>
    void operator()(const parameter_name&, P&...) const {}
};

using any_visitor = named_visitor<no_visitor>;

}  // namespace detail

template <class Part>
concept has_parameters = requires(Part& p) { Part::parameters(std::declval<detail::any_visitor>(), p); };

template <class Part>
concept has_state = requires(Part& p) { Part::state(std::declval<detail::any_visitor>(), p); };

// Calls v(name, tensor of p...) for every parameter; the further objects are shaped like the first (its gradient, its
// momentum). A part without parameters is passed over.
template <class V, class Part, class... Others>
void visit_parameters(V&& v, Part& part, Others&... others) {
    using value = std::remove_const_t<Part>;
    if constexpr (has_parameters<value>) value::parameters(named_visitor<std::remove_reference_t<V>>{v, {}}, part, others...);
}

// The same for what is saved but not trained.
template <class V, class Part>
void visit_state(V&& v, Part& part) {
    using value = std::remove_const_t<Part>;
    if constexpr (has_state<value>) value::state(named_visitor<std::remove_reference_t<V>>{v, {}}, part);
}

namespace detail {

// A tensor that may live in any memory space; others (scalars, arrays) stand where the part itself stands.
template <class Tensor>
concept has_space = requires(Tensor& t, const memory_space& to) { t.space(), t.move_to(to), t.clear(); };

// Throws if a tensor is out of reach for a backend with this memory.
template <class Tensor>
void require_space(const char* model, const parameter_name& name, const Tensor& tensor, const memory_space& space) {
    const auto refuse = [&](const char* got) {
        throw_value(model + name.text(),
                    "memory of the backend of this call; moe::copy_to(backend, model) brings it there", got);
    };
    if constexpr (has_space<std::remove_const_t<Tensor>>) {
        const bool fits = &tensor.space() == &space || (space.host_readable && tensor.space().host_readable);
        if (!fits && flat(tensor).size() != 0) refuse("a tensor in other memory");
    } else if (!space.host_readable) {
        refuse("numbers inside of the part, which stay with the host");
    }
}

}  // namespace detail

// The same model (a layer, a part, a matrix) with its parameters and state in a memory space. Gradients made from the
// copy lie beside it. Throws for parts whose parameters are plain members where the host does not read the space.
template <class Model>
Model copy_to(const memory_space& space, Model model) {
    if constexpr (detail::has_space<Model>) {
        model.move_to(space);
    } else {
        const auto move = [&](const parameter_name& name, auto& tensor) {
            if constexpr (detail::has_space<std::remove_reference_t<decltype(tensor)>>) tensor.move_to(space);
            else detail::require_space("", name, tensor, space);
        };
        visit_parameters(move, model);
        visit_state(move, model);
    }
    return model;
}

// In the memory of this backend: once before training on a device, and back with moe::reference{} to look at the result.
template <class B, class Model>
Model copy_to(const B&, Model model) {
    return copy_to(space_of<typename B::memory>, std::move(model));
}

// The gradient of a part that has no parameters.
struct no_gradient {};

namespace detail {

struct set_to_zero {
    template <class... P>
    void operator()(const parameter_name&, P&... tensors) const {
        (clear(tensors), ...);
    }

private:
    template <class P>
    static void clear(P& tensor) {
        if constexpr (has_space<P>) tensor.clear();
        else for (auto& v : flat(tensor)) v = 0;
    }
};

template <class Part>
auto make_gradient_of(const Part& part) {
    if constexpr (requires { part.make_gradient(); }) {
        return part.make_gradient();
    } else if constexpr (has_parameters<Part>) {
        Part zeros = part;
        visit_parameters(set_to_zero{}, zeros);
        return zeros;
    } else {
        return no_gradient{};
    }
}

}  // namespace detail

// The type in which a part's gradient is accumulated: what the part's own `make_gradient()` returns, else a zeroed copy.
template <class Part>
using gradient_t = decltype(detail::make_gradient_of(std::declval<const Part&>()));

// A gradient of zeros, shaped like the part.
template <class Part>
gradient_t<Part> make_gradient(const Part& part) {
    return detail::make_gradient_of(part);
}

MOE_END
