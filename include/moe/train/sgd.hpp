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

class sgd {
public:
    sgd_options options;  // may change between steps

    sgd(sgd_options o = {}) : options(o) { check(); }

    // Subtracts; `gradient` is shaped like make_gradient(model) and stays as it is.
    template <class Model, class Gradient>
    void step(Model& model, const Gradient& gradient) {
        run(model, gradient, [](std::size_t n, const auto& element) {
            for (std::size_t i = 0; i < n; ++i) element(i);
        });
    }
    // The same on the backend's threads.
    template <class B, class Model, class Gradient>
    void step(B& b, Model& model, const Gradient& gradient) {
        run(model, gradient, [&b](std::size_t n, const auto& element) { detail::for_elements(b, n, element); });
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
    void run(Model& model, const Gradient& gradient, const Run& run_elements) {
        check();
        if (options.momentum == 0.0) {
            plain_.for_each("sgd", model, gradient, [&](auto w, auto g) {
                using T = typename decltype(w)::value_type;
                run_elements(w.size(), [=, rate = T(options.learning_rate), decay = T(options.weight_decay)](
                                           std::size_t i) { w[i] -= rate * (g[i] + decay * w[i]); });
            });
            return;
        }
        state_.for_each("sgd", model, gradient, [&](auto w, auto g, auto m) {
            using T = typename decltype(w)::value_type;
            run_elements(w.size(), [=, rate = T(options.learning_rate), decay = T(options.weight_decay),
                                    keep = T(options.momentum), ahead = options.nesterov](std::size_t i) {
                const T d = g[i] + decay * w[i];
                m[i] = keep * m[i] + d;
                w[i] -= rate * (ahead ? d + keep * m[i] : m[i]);
            });
        });
    }

    detail::optimizer_state<0> plain_;
    detail::optimizer_state<1> state_;
};

MOE_END
