// score: normal noise whose deviation a second linear map learns, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] + n * sigma[e],   sigma[e] = softplus(<features, weight[e]>) + floor,   n ~ N(0, 1)
//
// Source: noisy top-k gating (Shazeer et al. 2017) behind a linear gate; floor 0.01 in V-MoE-style code. As a score
// step it serves any gate, and the logits stay clean for losses.
// parameters    weight [1,E,F], zeros at first (sigma = log 2 + floor)
// determinism   n is a function of (batch.seed, stream, batch.step, batch.first_token + t, e) alone
// off           where batch.training is false: scores keep their bits, the weight gets no gradient
// errors        value_error unless features and experts are positive and floor is finite and at least 0; shape_error
//               for other numbers of columns or features
// gradient      passes through to z; d_sigma[e] = n dz'[e] goes into the weight and the features
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct learned_noise_options {
    index_t features = 0;
    index_t experts = 0;
    double floor = 0.0;  // the smallest deviation
    const char* stream = "learned_noise";
};

template <class T>
struct learned_noise {
    using role = score_step;
    static constexpr const char* name = "learned_noise";
    static constexpr bool stochastic = true;

    panels<T> weight;  // [1,E,F]
    double floor;
    const char* stream;

    learned_noise(learned_noise_options o) : floor(o.floor), stream(o.stream) {
        detail::require_positive("learned_noise.features", o.features);
        detail::require_positive("learned_noise.experts", o.experts);
        if (!(floor >= 0.0 && floor < std::numeric_limits<double>::infinity())) {
            throw_value("learned_noise.floor", "a finite number of at least 0", std::to_string(floor));
        }
        weight = panels<T>(1, o.experts, o.features);
    }

    void check(const batch<T>& in, index_t columns, index_t) const {
        if (weight.outputs() != columns) {
            throw_shape("learned_noise.experts", std::to_string(columns), std::to_string(weight.outputs()));
        }
        if (in.features.data != nullptr && in.features.cols != weight.inputs()) {
            throw_shape("learned_noise.features", std::to_string(in.features.cols), std::to_string(weight.inputs()));
        }
    }

    // The deviation of every logit, as losses on the load estimate need it.
    template <class B>
    void deviation(B& b, matrix_view<const T> features, matrix_view<T> sigma) const {
        argument(b, features, sigma);
        kernels_of<B>::for_rows(b, sigma.rows, [=, least = static_cast<T>(floor)](index_t t) {
            for (index_t e = 0; e < sigma.cols; ++e) sigma(t, e) = softplus(sigma(t, e)) + least;
        });
    }

    // The argument of the softplus; empty where the noise is off.
    template <class B>
    matrix_view<const T> forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        if (!s.in().training) return {};
        const matrix_view<T> h = s.memory->template take<T>(scores.rows, scores.cols);
        argument(b, s.in().features, h);
        kernels_of<B>::for_rows(b, scores.rows, [=, n = noise_of(s.in()), least = static_cast<T>(floor)](index_t t) {
            for (index_t e = 0; e < scores.cols; ++e) scores(t, e) += n(t, e) * (softplus(h(t, e)) + least);
        });
        return h;
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, matrix_view<const T> h,
                  learned_noise& gradient) const {
        if (h.data == nullptr) return;
        const matrix_view<T> d_h = b.scratch().template take<T>(h.rows, h.cols);
        kernels_of<B>::for_rows(b, h.rows, [=, n = noise_of(before.in()), d_scores = d.scores](index_t t) {
            for (index_t e = 0; e < h.cols; ++e) d_h(t, e) = d_scores(t, e) * n(t, e) / (T(1) + std::exp(-h(t, e)));
        });
        const index_t all[2] = {0, h.rows};
        const row_groups rows{all, {}};
        kernels_of<B>::template grouped_weight_gradient<B, T>(b, rows, d_h, before.in().features, gradient.weight);
        kernels_of<B>::template grouped_input_gradient<B, T>(b, rows, d_h, weight, d.features, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
    }

private:
    struct noise {
        random_stream random;
        std::uint64_t first;

        MOE_FN T operator()(index_t t, index_t e) const {
            return static_cast<T>(random.normal(first + static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(e)));
        }
    };
    noise noise_of(const batch<T>& in) const {
        return {random_stream(in.seed, stream_id(stream), in.step), in.first_token};
    }

    template <class B>
    void argument(B& b, matrix_view<const T> features, matrix_view<T> h) const {
        const index_t all[2] = {0, h.rows};
        kernels_of<B>::template grouped_linear<B, T>(b, {all, {}}, features, weight, {}, h);
    }

    MOE_FN static T softplus(T z) { return (z > T(0) ? z : T(0)) + std::log1p(std::exp(-std::abs(z))); }
};

MOE_END
