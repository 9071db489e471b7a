// train/optimizer: parameters and their gradient -> new parameters, stochastic gradient descent
// SPDX-License-Identifier: Apache-2.0
//
//     g = gradient + weight_decay * w
//     m = momentum * m + g                          (m = 0 before the first step)
//     w -= learning_rate * m                        nesterov: w -= learning_rate * (g + momentum * m)
//
// Works on any object with `parameters`: a layer, any_layer, a model of several layers. Element by element as stored, in the
// parameter's scalar type; padding stays 0. NaN in a gradient reaches its own element only.
// memory        one array per parameter if momentum is not 0, taken at the first step; warm steps allocate nothing
// errors        options that are negative or not finite; a gradient or a model of another shape than at the first step
// determinism   the same bits with a backend of any number of threads and without one
#pragma once

#include "moe/train/optimizer_state.hpp"

MOE_BEGIN

struct sgd_options {
    double learning_rate = 0.01;
    double momentum = 0.0;
    double weight_decay = 0.0;
    bool nesterov = false;
};

namespace detail {

template <class T>
struct sgd_element {
    std::span<T> w;
    std::span<const T> g;
    T rate, decay;

    MOE_FN void operator()(std::size_t i) const { w[i] -= rate * (g[i] + decay * w[i]); }
};

template <class T>
struct momentum_element {
    std::span<T> w, m;
    std::span<const T> g;
    T rate, decay, keep;
    bool ahead;

    MOE_FN void operator()(std::size_t i) const {
        const T d = g[i] + decay * w[i];
        m[i] = keep * m[i] + d;
        w[i] -= rate * (ahead ? d + keep * m[i] : m[i]);
    }
};

}  // namespace detail

class sgd {
public:
    sgd_options options;  // may change between steps

    sgd(sgd_options o = {}) : options(o) { check(); }

    // Subtracts; `gradient` is shaped like make_gradient(model) and stays as it is.
    template <class Model, class Gradient>
    void step(Model& model, const Gradient& gradient) {
        run(host_space, model, gradient, [](std::size_t n, const auto& element) {
            for (std::size_t i = 0; i < n; ++i) element(i);
        });
    }
    // The same on the backend; the model, its gradient and what is remembered lie in the backend's memory.
    template <class B, class Model, class Gradient>
    void step(B& b, Model& model, const Gradient& gradient) {
        run(space_of<typename B::memory>, model, gradient,
            [&b](std::size_t n, const auto& element) { detail::for_elements(b, n, element); });
    }

private:
    void check() const {
        const auto refuse = [](const char* option, double v) {
            if (!(v >= 0.0 && v < 1e300)) throw_value(std::string("sgd.") + option, "at least 0", std::to_string(v));
        };
        refuse("learning_rate", options.learning_rate);
        refuse("momentum", options.momentum);
        refuse("weight_decay", options.weight_decay);
    }

    template <class Model, class Gradient, class Run>
    void run(const memory_space& space, Model& model, const Gradient& gradient, const Run& run_elements) {
        check();
        if (options.momentum == 0.0) {
            plain_.for_each("sgd", space, model, gradient, run_elements, [&](auto w, auto g) {
                using T = typename decltype(w)::value_type;
                run_elements(w.size(), detail::sgd_element<T>{w, g, T(options.learning_rate), T(options.weight_decay)});
            });
            return;
        }
        state_.for_each("sgd", space, model, gradient, run_elements, [&](auto w, auto g, auto m) {
            using T = typename decltype(w)::value_type;
            run_elements(w.size(),
                         detail::momentum_element<T>{w, m, g, T(options.learning_rate), T(options.weight_decay),
                                                     T(options.momentum), options.nesterov});
        });
    }

    detail::optimizer_state<0> plain_;
    detail::optimizer_state<1> state_;
};

MOE_END
