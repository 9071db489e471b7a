// score: Gumbel noise on every score, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] + scale * g,   g = -log(-log(u)), u ~ U(0, 1)
//
// Source: Gumbel-max (Maddison et al. 2014): with scale 1 on logits, top-k draws k experts without replacement from
// softmax(z) (Kool et al. 2019). Two steps with scales 1 and -1 and other streams add logistic noise: behind them a
// sigmoid is a relaxed Bernoulli choice (MoMa).
// determinism   g is a function of (batch.seed, stream, batch.step, batch.first_token + t, e) alone
// off           where batch.training is false: scores keep their bits
// errors        value_error unless scale is finite
// gradient      passes through; inside keys_only the noise acts on the choice only
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct gumbel_noise {
    using role = score_step;
    static constexpr const char* name = "gumbel_noise";
    static constexpr bool stochastic = true;

    double scale = 1.0;
    const char* stream = "gumbel_noise";

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        constexpr double largest = std::numeric_limits<double>::max();
        if (!(scale >= -largest && scale <= largest)) {
            throw_value("gumbel_noise.scale", "a finite number", std::to_string(scale));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        const batch<T>& in = s.in();
        if (!in.training) return;
        const random_stream random(in.seed, stream_id(stream), in.step);
        kernels_of<B>::for_rows(b, scores.rows, [=, factor = scale, first = in.first_token](index_t t) {
            const std::uint64_t token = first + static_cast<std::uint64_t>(t);
            for (index_t e = 0; e < scores.cols; ++e) {
                scores(t, e) += static_cast<T>(factor * random.gumbel(token, static_cast<std::uint32_t>(e)));
            }
        });
    }

    template <class B, class T>
    void backward(B&, const routing<T>&, const routing<T>&, adjoint<T>&) const {}
};

MOE_END
