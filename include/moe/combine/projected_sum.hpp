// combine: rows [R,L] -> y [T,D], a learned linear map of the weighted sum
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] = Q z[t],  z[t] = sum over the rows r of t, by ascending expert, of weight[slot of r] * rows[r]      Q [D,L]
//
// Source: Nemotron-H's latent experts and Kimi-K3 (experts narrower than the model: latent_input in front, this
// behind); the reduce of JetMoE's mixture of attention heads. One product per token instead of one per route. A token
// without routes gets exact zeros.
// memory        training keeps T L
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct projected_sum_options {
    index_t inputs = 0;      // L
    index_t outputs = 0;     // D
    std::uint64_t seed = 0;  // of the initial projection
};

template <class T>
class projected_sum {
public:
    using role = combine_part;
    static constexpr bool applies_weight = true;

    panels<T> projection;  // [1,D,L]

    projected_sum(const projected_sum_options& o) {
        detail::require_positive("projected_sum.inputs", o.inputs);
        detail::require_positive("projected_sum.outputs", o.outputs);
        projection = panels<T>(1, o.outputs, o.inputs);
        detail::draw_uniform(projection, o.seed, "projected_sum.projection");
    }

    index_t outputs(index_t bank_outputs) const {
        if (bank_outputs != projection.inputs()) {
            throw_shape("projected_sum: inputs", std::to_string(bank_outputs) + " (outputs of the experts)",
                        std::to_string(projection.inputs()));
        }
        return projection.outputs();
    }

    struct saved {
        matrix_view<T> sum;  // [T,L]
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> rows, matrix_view<T> y) const {
        const saved kept{s.memory->template take<T>(y.rows, projection.inputs())};
        kernels_of<B>::weighted_sum(b, plan, rows, s.routes.weight, kept.sum, false);
        const index_t everyone[2] = {0, y.rows};
        kernels_of<B>::grouped_linear(b, {everyone, {}}, kept.sum, projection, {}, y);
        return kept;
    }

    template <class B>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> rows, matrix_view<const T> dy,
                  matrix_view<T> d_rows, adjoint<T>& d, const saved& kept, projected_sum& g) const {
        const matrix_view<T> d_sum = b.scratch().template take<T>(dy.rows, projection.inputs());
        const index_t everyone[2] = {0, dy.rows};
        kernels_of<B>::grouped_weight_gradient(b, {everyone, {}}, dy, kept.sum, g.projection);
        kernels_of<B>::grouped_input_gradient(b, {everyone, {}}, dy, projection, d_sum, false);
        kernels_of<B>::weighted_sum_gradient(b, plan, rows, s.routes.weight, d_sum, d_rows, d.weight);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("projection", p.projection...);
    }
};

MOE_END
