// score: every score times a uniform random factor near 1, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = z[e] * u,   u ~ U[1 - epsilon, 1 + epsilon]
//
// Source: Switch, Mixtral's router_jitter_noise. Published on the router's input: features_through{jitter{0.01}, gate}
// is that form, and the experts see clean features.
// determinism   u is a function of (batch.seed, stream, batch.step, batch.first_token + t, e) alone
// off           where batch.training is false: scores keep their bits
// errors        value_error unless 0 <= epsilon < 1
// gradient      dz[e] = dz'[e] * u
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct jitter {
    using role = score_step;
    static constexpr const char* name = "jitter";
    static constexpr bool stochastic = true;

    double epsilon = 0.01;
    const char* stream = "jitter";

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(epsilon >= 0.0 && epsilon < 1.0)) {
            throw_value("jitter.epsilon", "at least 0 and below 1", std::to_string(epsilon));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        multiply(b, s.in(), scores);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        multiply(b, before.in(), d.scores);
    }

private:
    template <class B, class T>
    void multiply(B& b, const batch<T>& in, matrix_view<T> m) const {
        if (!in.training) return;
        const random_stream random(in.seed, stream_id(stream), in.step);
        kernels_of<B>::for_rows(b, m.rows, [=, width = epsilon, first = in.first_token](index_t t) {
            const std::uint64_t token = first + static_cast<std::uint64_t>(t);
            for (index_t e = 0; e < m.cols; ++e) {
                const double u = random.uniform(token, static_cast<std::uint32_t>(e));
                m(t, e) *= static_cast<T>(1.0 + width * (2.0 * u - 1.0));
            }
        });
    }
};

MOE_END
