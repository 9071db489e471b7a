// layer/shared_gate: a small linear map of every live token, for shared experts with coefficients
// SPDX-License-Identifier: Apache-2.0
//
//     z[t] = weight x[t] + bias           weight [n,D], bias [n] or none
//
// Rows are the live tokens in order, so a masked token's x, whatever it holds, reaches neither output nor gradient.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN
namespace detail {

template <class T>
struct shared_gate {
    panels<T> weight;  // [1,n,D]
    matrix<T> bias;    // [1,n], or empty

    static shared_gate make(index_t columns, index_t features, bool with_bias, std::uint64_t seed) {
        shared_gate gate{panels<T>(1, columns, features), with_bias ? matrix<T>(1, columns) : matrix<T>()};
        draw_uniform(gate.weight, seed, "shared_gate.weight");
        return gate;
    }
    shared_gate zeros() const {
        return {panels<T>(1, weight.outputs(), weight.inputs()), matrix<T>(bias.rows(), bias.cols())};
    }

    // The part of a plan of everyone that holds each live token once.
    static plan_view tokens_of(const plan_view& everyone) { return everyone.experts_range(0, 1); }

    template <class B>
    void forward(B& b, const routing<T>& s, const plan_view& tokens, matrix_view<T> z) const {
        kernels_of<B>::grouped_linear(b, {tokens.offset, tokens.token}, s.in().x, weight, bias, z);
    }

    // Adds to d.x and g.
    template <class B>
    void backward(B& b, const routing<T>& s, const plan_view& tokens, matrix_view<const T> dz, adjoint<T>& d,
                  shared_gate& g) const {
        using K = kernels_of<B>;
        K::grouped_weight_gradient(b, {tokens.offset, tokens.token}, dz, s.in().x, g.weight);
        if (bias.size() != 0) K::grouped_bias_gradient(b, {tokens.offset, {}}, dz, g.bias.view());
        const matrix_view<T> dx = b.scratch().template take<T>(dz.rows, weight.inputs());
        K::grouped_input_gradient(b, {tokens.offset, {}}, dz, weight, dx, false);
        K::weighted_sum(b, tokens, dx, {}, d.x, true);
    }
};

}  // namespace detail
MOE_END
