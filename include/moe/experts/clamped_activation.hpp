// experts/clamped_activation: gated activations with limits, of models that bound what an expert can say
// SPDX-License-Identifier: Apache-2.0
//
// limited(g) = min(g, limit), limited(u) = clamp(u, -limit, limit), s the logistic function:
//
//     scaled_swiglu          limited(g) * s(alpha limited(g)) * (limited(u) + 1)      gpt-oss (alpha 1.702, limit 7),
//     MiniMax-M3 clamp_before_swiglu    silu(limited(g)) * limited(u)                            DeepSeek-V4 (limit 10)
//     clamp_after_swiglu     min(silu(g), limit) * limited(u)                         Step-3.7
//     situ                   beta tanh(g / beta) s(g) * lambda tanh(u / lambda)       Kimi-K3
//
// Every parameter must be given: there is no default, 0 and NaN are refused. At a limit the derivative is that of the
// inside; beyond it 0. NaN in g or u gives NaN.
#pragma once

#include <string>

#include "moe/core/error.hpp"
#include "moe/experts/activation.hpp"

MOE_BEGIN

namespace detail {

inline void require_above_zero(const char* option, double value) {
    if (!(value > 0.0)) throw_value(option, "a number above 0", std::to_string(value));
}

// Written with comparisons that leave NaN alone.
template <class M, class V>
MOE_FN V at_most(V z, V limit) {
    return M::if_less(limit, z, limit, z);
}
template <class M, class V>
MOE_FN V within(V z, V limit) {
    return M::if_less(z, -limit, -limit, at_most<M>(z, limit));
}
// d where z was not cut, else 0.
template <class M, class V>
MOE_FN V where_at_most(V z, V limit, V d) {
    return M::if_less(limit, z, V(0), d);
}
template <class M, class V>
MOE_FN V where_within(V z, V limit, V d) {
    return M::if_less(z, -limit, V(0), where_at_most<M>(z, limit, d));
}

template <class M, class V>
MOE_FN V logistic(V z) {
    return V(1) / (V(1) + M::exp(-z));
}

}  // namespace detail

struct scaled_swiglu_options {
    double alpha;  // inside of the logistic function
    double limit;  // of both arguments
};

struct scaled_swiglu {
    double alpha;
    double limit;

    explicit scaled_swiglu(const scaled_swiglu_options& o) : alpha(o.alpha), limit(o.limit) {
        detail::require_above_zero("scaled_swiglu.alpha", alpha);
        detail::require_above_zero("scaled_swiglu.limit", limit);
    }

    template <class M, class V>
    MOE_FN V value(V g, V u) const {
        const V a = detail::at_most<M>(g, V(limit));
        return a * detail::logistic<M>(V(alpha) * a) * (detail::within<M>(u, V(limit)) + V(1));
    }
    template <class M, class V>
    MOE_FN gate_and_up<V> gradient(V g, V u, V dh) const {
        const V a = detail::at_most<M>(g, V(limit));
        const V p = detail::logistic<M>(V(alpha) * a);
        const V slope = p * (V(1) + V(alpha) * a * (V(1) - p));
        const V up = detail::within<M>(u, V(limit)) + V(1);
        return {detail::where_at_most<M>(g, V(limit), dh * up * slope),
                detail::where_within<M>(u, V(limit), dh * a * p)};
    }
};

struct clamp_options {
    double limit;
};

struct clamp_before_swiglu {
    double limit;

    explicit clamp_before_swiglu(const clamp_options& o) : limit(o.limit) {
        detail::require_above_zero("clamp_before_swiglu.limit", limit);
    }

    template <class M, class V>
    MOE_FN V value(V g, V u) const {
        return silu{}.value<M>(detail::at_most<M>(g, V(limit))) * detail::within<M>(u, V(limit));
    }
    template <class M, class V>
    MOE_FN gate_and_up<V> gradient(V g, V u, V dh) const {
        const V a = detail::at_most<M>(g, V(limit));
        const V up = detail::within<M>(u, V(limit));
        return {detail::where_at_most<M>(g, V(limit), silu{}.gradient<M>(a, dh * up)),
                detail::where_within<M>(u, V(limit), dh * silu{}.value<M>(a))};
    }
};

struct clamp_after_swiglu {
    double limit;

    explicit clamp_after_swiglu(const clamp_options& o) : limit(o.limit) {
        detail::require_above_zero("clamp_after_swiglu.limit", limit);
    }

    template <class M, class V>
    MOE_FN V value(V g, V u) const {
        return detail::at_most<M>(silu{}.value<M>(g), V(limit)) * detail::within<M>(u, V(limit));
    }
    template <class M, class V>
    MOE_FN gate_and_up<V> gradient(V g, V u, V dh) const {
        const V a = silu{}.value<M>(g);
        const V up = detail::within<M>(u, V(limit));
        return {detail::where_at_most<M>(a, V(limit), silu{}.gradient<M>(g, dh * up)),
                detail::where_within<M>(u, V(limit), dh * detail::at_most<M>(a, V(limit)))};
    }
};

struct situ_options {
    double beta;    // bound of the gate's factor
    double lambda;  // bound of the up factor
};

struct situ {
    double beta;
    double lambda;

    explicit situ(const situ_options& o) : beta(o.beta), lambda(o.lambda) {
        detail::require_above_zero("situ.beta", beta);
        detail::require_above_zero("situ.lambda", lambda);
    }

    template <class M, class V>
    MOE_FN V value(V g, V u) const {
        return bound<M>(g, beta) * detail::logistic<M>(g) * bound<M>(u, lambda);
    }
    template <class M, class V>
    MOE_FN gate_and_up<V> gradient(V g, V u, V dh) const {
        const V p = detail::logistic<M>(g);
        const V a = bound<M>(g, beta);
        const V up = bound<M>(u, lambda);
        const V slope = bound_slope(a, beta) * p + a * p * (V(1) - p);
        return {dh * up * slope, dh * a * p * bound_slope(up, lambda)};
    }

private:
    template <class M, class V>
    MOE_FN static V bound(V z, double size) {
        return V(size) * M::tanh(z / V(size));
    }
    // The derivative of bound, from its value.
    template <class V>
    MOE_FN static V bound_slope(V value, double size) {
        const V t = value / V(size);
        return V(1) - t * t;
    }
};

MOE_END
