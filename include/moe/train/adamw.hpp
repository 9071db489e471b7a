// train/optimizer: parameters and their gradient -> new parameters, Adam with decoupled weight decay
// SPDX-License-Identifier: Apache-2.0
//
//     m = beta1 * m + (1 - beta1) * g,   v = beta2 * v + (1 - beta2) * g^2           (0 before the first step)
//     w -= learning_rate * weight_decay * w
//     w -= learning_rate / (1 - beta1^n) * m / (sqrt(v / (1 - beta2^n)) + epsilon)    n = number of the step, from 1
//
// Source: Loshchilov, Hutter 2019. Works on any object with `parameters`: a layer, any_layer, a model of several layers.
// Element by element as stored, in the parameter's scalar type; padding stays 0. NaN in a gradient reaches its own element
// only, and stays in its m and v.
// memory        two arrays per parameter, taken at the first step; warm steps allocate nothing
// errors        options out of range; a gradient or a model of another shape than at the first step
// determinism   the same bits with a backend of any number of threads and without one
#pragma once

#include <cmath>

#include "moe/train/optimizer_state.hpp"

MOE_BEGIN

struct adamw_options {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.01;
};

namespace detail {

template <class T>
struct adamw_element {
    std::span<T> w, m, v;
    std::span<const T> g;
    T beta1, beta2, rate, root, epsilon, shrink;

    MOE_FN void operator()(std::size_t i) const {
        m[i] = beta1 * m[i] + (T(1) - beta1) * g[i];
        v[i] = beta2 * v[i] + (T(1) - beta2) * g[i] * g[i];
        w[i] = shrink * w[i] - rate * m[i] / (std::sqrt(v[i]) / root + epsilon);
    }
};

}  // namespace detail

class adamw {
public:
    adamw_options options;  // may change between steps

    adamw(adamw_options o = {}) : options(o) { check(); }

    std::uint64_t steps() const { return steps_; }

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
        const auto refuse = [](const char* option, double v, double below, const char* wanted) {
            if (!(v >= 0.0 && v < below)) throw_value(std::string("adamw.") + option, wanted, std::to_string(v));
        };
        refuse("learning_rate", options.learning_rate, 1e300, "at least 0");
        refuse("beta1", options.beta1, 1.0, "at least 0 and below 1");
        refuse("beta2", options.beta2, 1.0, "at least 0 and below 1");
        refuse("weight_decay", options.weight_decay, 1e300, "at least 0");
        if (!(options.epsilon > 0.0)) throw_value("adamw.epsilon", "above 0", std::to_string(options.epsilon));
    }

    template <class Model, class Gradient, class Run>
    void run(const memory_space& space, Model& model, const Gradient& gradient, const Run& run_elements) {
        check();
        const double n = static_cast<double>(steps_ + 1);
        const double rate = options.learning_rate / (1.0 - std::pow(options.beta1, n));
        const double root = std::sqrt(1.0 - std::pow(options.beta2, n));
        state_.for_each("adamw", space, model, gradient, run_elements, [&](auto w, auto g, auto m, auto v) {
            using T = typename decltype(w)::value_type;
            run_elements(w.size(), detail::adamw_element<T>{w, m, v, g, T(options.beta1), T(options.beta2), T(rate),
                                                            T(root), T(options.epsilon),
                                                            T(1.0 - options.learning_rate * options.weight_decay)});
        });
        ++steps_;
    }

    detail::optimizer_state<2> state_;
    std::uint64_t steps_ = 0;
};

MOE_END
