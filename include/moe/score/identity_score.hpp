// score: the logits themselves
// SPDX-License-Identifier: Apache-2.0
//
//     s[e] = z[e]
//
// For compositions whose score is a type parameter: leaving the step out computes the same. Source: GPT-OSS, Granite
// and other routers that choose by logits and weigh by a softmax over the selected ones; Expert Race.
// gradient      passes through
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

struct identity_score {
    using role = score_step;
    static constexpr const char* name = "identity_score";

    template <class B, class T>
    void forward(B&, const routing<T>&, matrix_view<T>) const {}

    template <class B, class T>
    void backward(B&, const routing<T>&, const routing<T>&, adjoint<T>&) const {}
};

MOE_END
