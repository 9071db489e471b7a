// gate: features [T,F] -> logits [T,E], the cosine of the angle to one vector per expert
// SPDX-License-Identifier: Apache-2.0
//
//     h = features, or projection features
//     logits[t][e] = <h[t], weight[e]> / (max(|h[t]|, epsilon) * max(|weight[e]|, epsilon) * temperature)
//
// Source: X-MoE (Chi et al. 2022, projection and learned temperature), ProMoE and LLaVA-DyMoE (without). The
// temperature is a constant; a learned one is the score step learned_temperature behind this gate.
// parameters    weight [1,E,P], P the width of the projection or F; projection [1,P,F] or empty
// edges         scaling a token by c > 0 changes neither logits nor choice; a vector shorter than epsilon is divided by
//               epsilon, zeros give 0; NaN stays in its token
// errors        value_error unless features and experts are positive, projection is not negative, temperature and
//               epsilon are positive and finite
// gradient      of cosine c with respect to h: (weight / |weight| - c h / |h|) / |h|, likewise to the weight; the
//               second term is absent where the length is below epsilon
// cost          2 T P E flops, and 2 T F P with a projection; keeps T + E lengths and the projected features
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct cosine_gate_options {
    index_t features = 0;
    index_t experts = 0;
    index_t projection = 0;    // width of a learned projection in front; 0: none
    double temperature = 1.0;
    double epsilon = 1e-12;    // the shortest length
    std::uint64_t seed = 0;
};

template <class T>
struct cosine_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "cosine_gate";

    panels<T> weight;      // [1,E,P]
    panels<T> projection;  // [1,P,F], or empty
    double temperature;
    double epsilon;

    cosine_gate(cosine_gate_options o) : temperature(o.temperature), epsilon(o.epsilon), features_(o.features) {
        detail::require_positive("cosine_gate.features", o.features);
        detail::require_positive("cosine_gate.experts", o.experts);
        if (o.projection < 0) throw_value("cosine_gate.projection", "at least 0", std::to_string(o.projection));
        weight = panels<T>(1, o.experts, o.projection == 0 ? o.features : o.projection);
        detail::draw_uniform(weight, o.seed, "cosine_gate.weight");
        if (o.projection == 0) return;
        projection = panels<T>(1, o.projection, o.features);
        detail::draw_uniform(projection, o.seed, "cosine_gate.projection");
    }

    index_t features() const { return features_; }
    index_t columns() const { return weight.outputs(); }

    void check(const batch<T>&, index_t, index_t) const {
        const auto require = [](const char* option, double value) {
            if (value > 0.0 && value < std::numeric_limits<double>::infinity()) return;
            throw_value(option, "a positive finite number", std::to_string(value));
        };
        require("cosine_gate.temperature", temperature);
        require("cosine_gate.epsilon", epsilon);
    }

    struct kept {
        matrix_view<const T> h;                // [T,P]
        std::span<const T> length, of_expert;  // [T], [E] not below epsilon
    };

    template <class B>
    kept forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, s.tokens()};
        matrix_view<const T> h = s.in().features;
        if (projected()) {
            const matrix_view<T> fresh = s.memory->template take<T>(s.tokens(), projection.outputs());
            K::template grouped_linear<B, T>(b, {all, {}}, h, projection, {}, fresh);
            h = fresh;
        }
        K::template grouped_linear<B, T>(b, {all, {}}, h, weight, {}, logits);
        const std::span<T> length = s.memory->template take<T>(static_cast<std::size_t>(s.tokens()));
        const std::span<T> of_expert = s.memory->template take<T>(static_cast<std::size_t>(columns()));
        const T least = static_cast<T>(epsilon);
        K::for_rows(b, columns(), [=, w = &weight](index_t e) {
            of_expert[static_cast<std::size_t>(e)] =
                length_of([=](index_t k) { return (*w)(0, e, k); }, w->inputs(), least);
        });
        K::for_rows(b, s.tokens(), [=, scale = static_cast<T>(1.0 / temperature)](index_t t) {
            const T size = length_of([=](index_t k) { return h(t, k); }, h.cols, least);
            length[static_cast<std::size_t>(t)] = size;
            for (index_t e = 0; e < logits.cols; ++e) {
                logits(t, e) = logits(t, e) / (size * of_expert[static_cast<std::size_t>(e)]) * scale;
            }
        });
        return {h, length, of_expert};
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d, const kept& saved,
                  cosine_gate& g) const {
        using K = kernels_of<B>;
        const index_t all[2] = {0, before.tokens()};
        const row_groups rows{all, {}};
        const matrix_view<T> d_product = b.scratch().template take<T>(before.tokens(), columns());
        const matrix_view<T> d_h =
            projected() ? b.scratch().template take<T>(before.tokens(), saved.h.cols) : d.features;
        K::for_rows(b, before.tokens(), [=, d_logits = d.logits, scale = static_cast<T>(1.0 / temperature)](index_t t) {
            const T size = saved.length[static_cast<std::size_t>(t)];
            for (index_t e = 0; e < d_product.cols; ++e) {
                d_product(t, e) = d_logits(t, e) * scale / (size * saved.of_expert[static_cast<std::size_t>(e)]);
            }
        });
        K::template grouped_weight_gradient<B, T>(b, rows, d_product, saved.h, g.weight);
        K::template grouped_input_gradient<B, T>(b, rows, d_product, weight, d_h, !projected());
        pull_to_sphere(b, after.logits, d.logits, d_h, saved, g.weight);
        if (!projected()) return;
        K::template grouped_weight_gradient<B, T>(b, rows, d_h, before.in().features, g.projection);
        K::template grouped_input_gradient<B, T>(b, rows, d_h, projection, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("projection", p.projection...);
    }

private:
    bool projected() const { return projection.outputs() != 0; }

    template <class F>
    MOE_FN static T length_of(const F& entry, index_t n, T least) {
        T sum = T(0);
        for (index_t k = 0; k < n; ++k) sum += entry(k) * entry(k);
        const T length = std::sqrt(sum);
        return length < least ? least : length;
    }

    // The second terms of the gradient: what makes a vector longer does not change a cosine.
    template <class B>
    void pull_to_sphere(B& b, matrix_view<const T> logits, matrix_view<const T> d_logits, matrix_view<T> d_h,
                        const kept& saved, panels<T>& d_weight) const {
        using K = kernels_of<B>;
        const T least = static_cast<T>(epsilon);
        K::for_rows(b, logits.rows, [=](index_t t) {
            const T size = saved.length[static_cast<std::size_t>(t)];
            if (size <= least) return;
            T along = T(0);
            for (index_t e = 0; e < logits.cols; ++e) along += d_logits(t, e) * logits(t, e);
            for (index_t k = 0; k < d_h.cols; ++k) d_h(t, k) -= saved.h(t, k) * (along / (size * size));
        });
        K::for_rows(b, logits.cols, [=, w = &weight, d_w = &d_weight](index_t e) {
            const T size = saved.of_expert[static_cast<std::size_t>(e)];
            if (size <= least) return;
            T along = T(0);
            for (index_t t = 0; t < logits.rows; ++t) along += d_logits(t, e) * logits(t, e);
            for (index_t k = 0; k < w->inputs(); ++k) (*d_w)(0, e, k) -= (*w)(0, e, k) * (along / (size * size));
        });
    }

    index_t features_;
};

MOE_END
