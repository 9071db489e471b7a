// core/math: the functions an activation may call, for plain scalars; a SIMD backend has the same names for its vectors
// SPDX-License-Identifier: Apache-2.0
//
// An activation is written once, as a template over a provider M and a value type V: `M::exp(v)`, `M::min(v, w)`.
// V converts from a scalar and has + - * / and unary minus.
#pragma once

#include <cmath>

#include "moe/core/config.hpp"

MOE_BEGIN

struct scalar_math {
    template <class V>
    MOE_FN static V exp(V v) {
        return std::exp(v);
    }
    template <class V>
    MOE_FN static V tanh(V v) {
        return std::tanh(v);
    }
    template <class V>
    MOE_FN static V erf(V v) {
        return std::erf(v);
    }
    template <class V>
    MOE_FN static V min(V a, V b) {
        return b < a ? b : a;
    }
    template <class V>
    MOE_FN static V max(V a, V b) {
        return a < b ? b : a;
    }
    // a < b ? yes : no
    template <class V>
    MOE_FN static V if_less(V a, V b, V yes, V no) {
        return a < b ? yes : no;
    }
};

MOE_END
