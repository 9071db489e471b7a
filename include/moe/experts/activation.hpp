// experts/activation: the functions between the two weights of an expert, with their derivatives
// SPDX-License-Identifier: Apache-2.0
//
// An activation is a stateless or small value that kernels apply to vectors or scalars V with the functions of M
// (core/math.hpp):
//
//     value<M>(z)           act(z)
//     gradient<M>(z, dh)    dh * act'(z)
//
// A gated one takes the two arguments of its unit and returns the gradients of both:
//
//     value<M>(g, u)        act(g) * u
//     gradient<M>(g, u, dh) {gate: dh * u * act'(g), up: dh * act(g)}
//
// relu             max(z, 0); the derivative at 0 is 0
// relu_squared     max(z, 0)^2 (Primer, So et al. 2021)
// gelu             z * Phi(z), Phi the normal distribution, by erf (Hendrycks and Gimpel 2016)
// gelu_tanh        its approximation z/2 * (1 + tanh(sqrt(2/pi) * (z + 0.044715 z^3)))
// silu             z * sigmoid(z)
// gated<A>         a gated linear unit (Shazeer 2020): SwiGLU is gated<silu>, GeGLU gated<gelu>
//
// NaN in z gives NaN in value and gradient; it changes no other element.
#pragma once

#include "moe/core/math.hpp"

MOE_BEGIN

struct identity_activation {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return z;
    }
    template <class M, class V>
    MOE_FN V gradient(V, V dh) const {
        return dh;
    }
};

struct relu {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return M::if_less(z, V(0), V(0), z);
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        // Neither comparison holds for NaN, which is then the result.
        return M::if_less(V(0), z, dh, M::if_less(z, V(1), V(0), z));
    }
};

struct relu_squared {
    template <class M, class V>
    MOE_FN V value(V z) const {
        const V r = M::if_less(z, V(0), V(0), z);
        return r * r;
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        return V(2) * M::if_less(z, V(0), V(0), z) * dh;
    }
};

struct gelu {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return z * below<M>(z);
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V density = V(0.39894228040143267794) * M::exp(V(-0.5) * z * z);
        return dh * (below<M>(z) + z * density);
    }

private:
    template <class M, class V>
    MOE_FN static V below(V z) {
        return V(0.5) * (V(1) + M::erf(V(0.70710678118654752440) * z));
    }
};

struct gelu_tanh {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return V(0.5) * z * (V(1) + inner<M>(z));
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V t = inner<M>(z);
        const V slope = V(outer) * (V(1) + V(3 * cubic) * z * z);
        return dh * V(0.5) * (V(1) + t + z * (V(1) - t * t) * slope);
    }

private:
    static constexpr double outer = 0.79788456080286535588;  // sqrt(2/pi)
    static constexpr double cubic = 0.044715;

    template <class M, class V>
    MOE_FN static V inner(V z) {
        return M::tanh(V(outer) * (z + V(cubic) * z * z * z));
    }
};

struct silu {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return z / (V(1) + M::exp(-z));
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V s = V(1) / (V(1) + M::exp(-z));
        return dh * s * (V(1) + z * (V(1) - s));
    }
};

template <class V>
struct gate_and_up {
    V gate, up;
};

template <class Activation>
struct gated {
    Activation activation{};

    template <class M, class V>
    MOE_FN V value(V gate, V up) const {
        return activation.template value<M>(gate) * up;
    }
    template <class M, class V>
    MOE_FN gate_and_up<V> gradient(V gate, V up, V dh) const {
        return {activation.template gradient<M>(gate, dh * up), dh * activation.template value<M>(gate)};
    }
};

MOE_END
