// train/optimizer_state: what an optimiser remembers per parameter, taken at the first step, and the walk over all tensors
// SPDX-License-Identifier: Apache-2.0
//
// Tensors are met in visit order; tensor i owns `count` arrays of its size and scalar type, zeros at the start. Later steps
// find the same tensors in the same order or throw. Warm steps allocate nothing.
#pragma once

#include <vector>

#include "moe/backend/kernels.hpp"
#include "moe/core/arena.hpp"
#include "moe/core/parameter.hpp"

MOE_BEGIN

namespace detail {

template <int Count>
class optimizer_state {
public:
    // `space` is where the model lies.
    // Calls f(values, gradients, state arrays...) for every tensor of the model and brings up to date, with run(n, element),
    // what the tensor derives from its values. All shapes are checked before the first call.
    template <class Model, class Gradient, class Run, class F>
    void for_each(const char* optimizer, const memory_space& space, Model& model, const Gradient& gradient,
                  const Run& run, const F& f) {
        std::size_t tensors = 0;
        if (entries_.empty()) memory_.restart(space);
        if (memory_.space().host_readable != space.host_readable) {
            throw_value(optimizer, "the backend of the first step", "a backend with other memory");
        }
        visit_parameters(
            [&](const parameter_name& name, auto& value, const auto& g) {
                require_space("", name, value, space);
                require_space("gradient of ", name, g, space);
                check<scalar_t<decltype(flat(value))>>(optimizer, name, tensors++, flat(value).size(), flat(g).size());
            },
            model, gradient);
        if (tensors != entries_.size()) {
            throw_shape(std::string(optimizer) + ": tensors of the model", std::to_string(entries_.size()),
                        std::to_string(tensors));
        }
        complete_ = true;
        const entry* next = entries_.data();
        visit_parameters(
            [&](const parameter_name&, auto& value, const auto& g) {
                using T = scalar_t<decltype(flat(value))>;
                static_assert(std::is_same_v<T, scalar_t<decltype(flat(g))>>,
                              "moe: a gradient has the scalar type of its parameter");
                call<T>(flat(value), flat(g), *next++, f, std::make_index_sequence<std::size_t(Count)>{});
                elements_changed(value, run);
            },
            model, gradient);
    }

private:
    struct entry {
        void* data = nullptr;
        std::size_t size = 0;
        std::size_t scalar = 0;
    };

    template <class Span>
    using scalar_t = typename Span::value_type;

    // Takes the state of tensor i at the first step; finds it again later.
    template <class T>
    void check(const char* optimizer, const parameter_name& name, std::size_t i, std::size_t size, std::size_t gradients) {
        if (gradients != size) {
            throw_shape("gradient of " + name.text(), std::string("[") + std::to_string(size) + "]",
                        std::string("[") + std::to_string(gradients) + "]");
        }
        if (i == entries_.size() && !complete_) {
            const std::span<T> fresh = memory_.take<T>(size * std::size_t(Count));
            memory_.space().fill(fresh.data(), 0, fresh.size_bytes());
            entries_.push_back({fresh.data(), size, sizeof(T)});
        }
        if (i < entries_.size() && entries_[i].size == size && entries_[i].scalar == sizeof(T)) return;
        throw_shape(std::string(optimizer) + ": " + name.text(), "the tensors of the first step in their order",
                    std::string("[") + std::to_string(size) + "] as number " + std::to_string(i));
    }

    template <class T, class F, std::size_t... Place>
    static void call(std::span<T> values, std::span<const T> gradients, const entry& e, const F& f,
                     std::index_sequence<Place...>) {
        [[maybe_unused]] T* state = static_cast<T*>(e.data);
        f(values, gradients, std::span<T>(state + Place * e.size, e.size)...);
    }

    arena memory_;
    std::vector<entry> entries_;
    bool complete_ = false;
};

// Runs element(i) for i in [0, n), in blocks on the backend's threads.
template <class B, class F>
void for_elements(B& b, std::size_t n, const F& element) {
    constexpr std::size_t block = 1024;
    kernels_of<B>::for_rows(b, static_cast<index_t>((n + block - 1) / block), [=] MOE_ROW(index_t row) {
        const std::size_t first = std::size_t(row) * block;
        const std::size_t last = first + block < n ? first + block : n;
        for (std::size_t i = first; i < last; ++i) element(i);
    });
}

}  // namespace detail

MOE_END
