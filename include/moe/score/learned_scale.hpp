// score: every score times one learned number
// SPDX-License-Identifier: Apache-2.0
//
//     z'[e] = factor * scale * z[e]
//
// Source: UniPool's NormRouter (factor keeps the expected size of the chosen scores at 1).
// parameters    scale, one number, 1 at first
// errors        value_error unless factor is finite
// gradient      dz[e] = factor scale dz'[e];   d_scale = sum over t and e of dz'[e] factor z[e], tokens in order
#pragma once

#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <class T>
struct learned_scale {
    using role = score_step;
    static constexpr const char* name = "learned_scale";

    double factor = 1.0;
    T scale = T(1);

    void check(const batch<T>&, index_t, index_t) const {
        constexpr double largest = std::numeric_limits<double>::max();
        if (!(factor >= -largest && factor <= largest)) {
            throw_value("learned_scale.factor", "a finite number", std::to_string(factor));
        }
    }

    template <class B>
    void forward(B& b, const routing<T>&, matrix_view<T> scores) const {
        multiply(b, scores);
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, learned_scale& gradient) const {
        const std::span<T> of_token = b.scratch().template take<T>(static_cast<std::size_t>(before.tokens()));
        kernels_of<B>::for_rows(b, before.tokens(), [=, z = before.scores, d_z = d.scores](index_t t) {
            T sum = T(0);
            for (index_t e = 0; e < z.cols; ++e) sum += excluded(z(t, e)) ? T(0) : d_z(t, e) * z(t, e);
            of_token[static_cast<std::size_t>(t)] = sum;
        });
        T total = T(0);
        for (const T of_one : of_token) total += of_one;
        gradient.scale += static_cast<T>(factor) * total;
        multiply(b, d.scores);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scale", p.scale...);
    }

private:
    template <class B>
    void multiply(B& b, matrix_view<T> m) const {
        kernels_of<B>::for_rows(b, m.rows, [m, f = static_cast<T>(factor) * scale](index_t t) {
            for (index_t e = 0; e < m.cols; ++e) m(t, e) *= f;
        });
    }
};

MOE_END
