// score: every score divided by a learned temperature
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] * min(exp(log_scale), 1 / smallest)       temperature = exp(-log_scale), never below smallest
//
// Source: X-MoE (Chi et al. 2022) behind a cosine gate, with the logarithmic form and the floor of 0.01 of its
// published code; CLIP's logit scale.
// parameters    log_scale, one number, -log(initial) at first
// errors        value_error unless initial and smallest are positive and finite
// gradient      with s the scale: dz[e] = s dz'[e]; d_log_scale = sum over t and e of dz'[e] z'[e], tokens in order, 0
//               at the floor
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct learned_temperature_options {
    double initial = 1.0;
    double smallest = 0.01;
};

template <class T>
struct learned_temperature {
    using role = score_step;
    static constexpr const char* name = "learned_temperature";

    T log_scale;
    double smallest;

    learned_temperature(learned_temperature_options o = {}) {
        const auto require = [](const char* option, double value) {
            if (value > 0.0 && value < std::numeric_limits<double>::infinity()) return;
            throw_value(option, "a positive finite number", std::to_string(value));
        };
        require("learned_temperature.initial", o.initial);
        require("learned_temperature.smallest", o.smallest);
        log_scale = static_cast<T>(-std::log(o.initial));
        smallest = o.smallest;
    }

    T value() const { return T(1) / scale(); }

    template <class B>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        multiply(b, scores);
    }

    template <class B>
    void backward(B& b, const routing<T>&, const routing<T>& after, adjoint<T>& d,
                  learned_temperature& gradient) const {
        const std::span<T> of_token = b.scratch().template take<T>(static_cast<std::size_t>(after.tokens()));
        kernels_of<B>::for_rows(b, after.tokens(), [=, z = after.scores, d_z = d.scores](index_t t) {
            T sum = T(0);
            for (index_t e = 0; e < z.cols; ++e) sum += excluded(z(t, e)) ? T(0) : d_z(t, e) * z(t, e);
            of_token[static_cast<std::size_t>(t)] = sum;
        });
        T total = T(0);
        for (const T of_one : of_token) total += of_one;
        if (!at_floor()) gradient.log_scale += total;
        multiply(b, d.scores);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("log_scale", p.log_scale...);
    }

private:
    bool at_floor() const { return std::exp(log_scale) >= static_cast<T>(1.0 / smallest); }
    T scale() const { return at_floor() ? static_cast<T>(1.0 / smallest) : std::exp(log_scale); }

    template <class B>
    void multiply(B& b, matrix_view<T> m) const {
        kernels_of<B>::for_rows(b, m.rows, [m, s = scale()](index_t t) {
            for (index_t e = 0; e < m.cols; ++e) m(t, e) *= s;
        });
    }
};

MOE_END
