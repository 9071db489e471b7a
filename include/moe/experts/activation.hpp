// experts: the non-linearity between the two products of an expert, written once for scalars and SIMD vectors
// SPDX-License-Identifier: Apache-2.0
//
// An activation has value<M>(z) and gradient<M>(z, dh) = dh * act'(z); a gated one value<M>(g, u) and gradient<M>(g, u,
// dh) -> {gate, up}. M provides exp, tanh, erf, min, max, if_less (core/math.hpp). gated<A> is A(g) * u.
//
//   relu         max(z, 0)                  gelu        z Phi(z), exact (erf)
//   silu         z / (1 + exp(-z))          gelu_tanh   z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3)))
//
// Sources: SwiGLU and its kin: Shazeer 2020; GELU: Hendrycks and Gimpel 2016. NaN in, NaN out.
#pragma once

#include "moe/core/math.hpp"

MOE_BEGIN

struct relu {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return M::if_less(z, V(0), V(0), z);
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        return M::if_less(V(0), z, dh, z * V(0));
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
        return dh * (s * (V(1) + z * (V(1) - s)));
    }
};

struct gelu {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return V(0.5) * z * (V(1) + M::erf(z * V(0.7071067811865476)));
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V cdf = V(0.5) * (V(1) + M::erf(z * V(0.7071067811865476)));
        const V density = V(0.3989422804014327) * M::exp(V(-0.5) * z * z);
        return dh * (cdf + z * density);
    }
};

struct gelu_tanh {
    template <class M, class V>
    MOE_FN V value(V z) const {
        return V(0.5) * z * (V(1) + M::tanh(inner(z)));
    }
    template <class M, class V>
    MOE_FN V gradient(V z, V dh) const {
        const V t = M::tanh(inner(z));
        const V slope = V(0.7978845608028654) * (V(1) + V(0.134145) * z * z);
        return dh * (V(0.5) * (V(1) + t) + V(0.5) * z * (V(1) - t * t) * slope);
    }

private:
    template <class V>
    MOE_FN static V inner(V z) {
        return V(0.7978845608028654) * (z + V(0.044715) * z * z * z);
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
