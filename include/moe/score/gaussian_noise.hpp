// score: normal noise of constant deviation on every score, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] + sigma * n,   n ~ N(0, 1)
//
// Source: V-MoE (Riquelme et al. 2021, sigma = 1 / E); noise whose deviation is learned is learned_noise.
// determinism   n is a function of (batch.seed, stream, batch.step, batch.first_token + t, e) alone; two steps of one
//               router that shall draw different numbers have different streams
// off           where batch.training is false: scores keep their bits
// gradient      passes through; inside keys_only the noise acts on the choice only
// errors        value_error unless sigma is finite and at least 0
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct gaussian_noise {
    using role = score_step;
    static constexpr const char* name = "gaussian_noise";
    static constexpr bool stochastic = true;

    double sigma = 1.0;
    const char* stream = "gaussian_noise";

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(sigma >= 0.0 && sigma < std::numeric_limits<double>::infinity())) {
            throw_value("gaussian_noise.sigma", "a finite number of at least 0", std::to_string(sigma));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        const batch<T>& in = s.in();
        if (!in.training) return;
        const random_stream random(in.seed, stream_id(stream), in.step);
        kernels_of<B>::for_rows(b, scores.rows, [=, sigma = sigma, first = in.first_token](index_t t) {
            const std::uint64_t token = first + static_cast<std::uint64_t>(t);
            for (index_t e = 0; e < scores.cols; ++e) {
                scores(t, e) += static_cast<T>(sigma * random.normal(token, static_cast<std::uint32_t>(e)));
            }
        });
    }

    template <class B, class T>
    void backward(B&, const routing<T>&, const routing<T>&, adjoint<T>&) const {}
};

MOE_END
