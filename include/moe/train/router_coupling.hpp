// train/loss: weights of the gate and of the experts -> expert-router coupling loss, gradient added to theirs
// SPDX-License-Identifier: Apache-2.0
//
//     epsilon[i] = min over j != i of |R[i] - R[j]| / (2 |R[i]|)       R [E,D] gate, G [E,H,D] first projection of the experts
//     proxy[i] = delta[i] * R[i] element by element,   delta ~ U(1 - epsilon[i], 1 + epsilon[i]), drawn anew every step
//     M[i][j] = |G[j] proxy[i]|
//     L = coefficient / E^2 * sum over i, j != i of max(0, M[i][j] - alpha M[i][i]) + max(0, M[j][i] - alpha M[i][i])
//
// Each expert answers its own row of the gate most loudly, and each row excites its own expert most. Source: the ERC loss
// (an independent implementation and notes agree). Reads no token: the same for every batch. delta is a constant. At
// best 0: M[i][j] <= alpha M[i][i] everywhere; alpha = 1 is the mildest, 0 the strictest. One expert: 0.
// edges         a row of zeros has epsilon 0 and M 0; M = 0 has no gradient
// gradient      to R and G: the weight of a linear gate, the gate (or up) projection of a bank
// errors        shapes that do not fit; alpha below 0 or not finite; a coefficient that is not finite
// cost          2 E^2 H D flops forward, 4 backward
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/core/rng.hpp"
#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct router_coupling {
    static constexpr const char* name = "router_coupling";

    double coefficient = 1.0;
    double alpha = 1.0;
    bool noise = true;          // false: proxy = R
    std::uint64_t seed = 0;
    std::uint64_t step = 0;
    const char* stream = "router_coupling";

    // router [1,E,D], experts [E,H,D]; the gradients are shaped like them.
    template <class B, class T>
    double operator()(B& b, const panels<T>& router, const panels<T>& experts, panels<T>& d_router,
                      panels<T>& d_experts) const {
        require_host_readable<B>();
        using K = kernels_of<B>;
        check(router, experts, d_router, d_experts);
        const index_t n = experts.groups();
        const index_t d = experts.inputs();
        arena_frame frame(b.scratch());
        arena& scratch = b.scratch();
        const matrix_view<T> delta = scratch.take<T>(n, d);
        const matrix_view<T> proxy = scratch.take<T>(n, d);
        draw(b, router, delta, proxy);
        // Row j * n + i of `answer` is G[j] proxy[i].
        const std::span<index_t> offset = scratch.take<index_t>(std::size_t(n) + 1);
        const std::span<index_t> gather = scratch.take<index_t>(std::size_t(n) * std::size_t(n));
        for (index_t j = 0; j <= n; ++j) offset[std::size_t(j)] = j * n;
        for (index_t r = 0; r < n * n; ++r) gather[std::size_t(r)] = r % n;
        const row_groups by_proxy{offset, gather};
        const row_groups by_row{offset, {}};
        const matrix_view<T> answer = scratch.take<T>(n * n, experts.outputs());
        K::grouped_linear(b, by_proxy, matrix_view<const T>(proxy), experts, {}, answer);

        const matrix_view<double> m = scratch.take<double>(n, n);
        const matrix_view<double> dm = scratch.take<double>(n, n);
        K::for_rows(b, n * n, [=](index_t r) { m(r % n, r / n) = length(answer.row(r), answer.cols); });
        const double value = hinge(m, dm);
        K::for_rows(b, n * n, [=, c = coefficient](index_t r) {
            const double size = m(r % n, r / n);
            const T factor = size > 0.0 ? T(c * dm(r % n, r / n) / size) : T(0);
            for (index_t h = 0; h < answer.cols; ++h) answer(r, h) *= factor;
        });
        K::grouped_weight_gradient(b, by_proxy, matrix_view<const T>(answer), matrix_view<const T>(proxy), d_experts);
        const matrix_view<T> d_proxy = scratch.take<T>(n * n, d);
        K::grouped_input_gradient(b, by_row, matrix_view<const T>(answer), experts, d_proxy, false);
        for (index_t i = 0; i < n; ++i) {
            for (index_t j = 0; j < n; ++j) {
                for (index_t c = 0; c < d; ++c) d_router(0, i, c) += delta(i, c) * d_proxy(j * n + i, c);
            }
        }
        return coefficient * value;
    }

    // epsilon of every row [E]: half the relative distance to the nearest other row, a measure of specialisation.
    template <class T>
    static void spread(const panels<T>& router, std::span<double> epsilon) {
        detail::require_size("router_coupling: epsilon", epsilon, std::size_t(router.outputs()));
        for (index_t i = 0; i < router.outputs(); ++i) epsilon[std::size_t(i)] = spread_of(router, i);
    }

private:
    template <class T>
    void check(const panels<T>& router, const panels<T>& experts, const panels<T>& d_router,
               const panels<T>& d_experts) const {
        detail::require_finite("router_coupling.coefficient", coefficient);
        if (!(alpha >= 0.0 && alpha < 1e300)) throw_value("router_coupling.alpha", "at least 0", std::to_string(alpha));
        const auto shape = [](const panels<T>& p) {
            return std::string("[") + std::to_string(p.groups()) + ", " + std::to_string(p.outputs()) + ", " +
                   std::to_string(p.inputs()) + "]";
        };
        const auto same = [&](const char* what, const panels<T>& p, const panels<T>& like) {
            if (shape(p) != shape(like)) throw_shape(std::string("router_coupling: ") + what, shape(like), shape(p));
        };
        if (router.groups() != 1 || router.outputs() != experts.groups() || router.inputs() != experts.inputs()) {
            throw_shape("router_coupling: router",
                        std::string("[1, ") + std::to_string(experts.groups()) + ", " + std::to_string(experts.inputs()) + "]",
                        shape(router));
        }
        if (std::int64_t{experts.groups()} * experts.groups() > 2147483647) {
            throw_shape("router_coupling: experts", "at most 46340", std::to_string(experts.groups()));
        }
        same("gradient of the router", d_router, router);
        same("gradient of the experts", d_experts, experts);
    }

    template <class T>
    static double spread_of(const panels<T>& router, index_t i) {
        const auto squared = [&](index_t other) {
            double sum = 0.0;
            for (index_t c = 0; c < router.inputs(); ++c) {
                const double v = static_cast<double>(router(0, i, c)) -
                                 (other < 0 ? 0.0 : static_cast<double>(router(0, other, c)));
                sum += v * v;
            }
            return sum;
        };
        double nearest = -1.0;
        for (index_t j = 0; j < router.outputs(); ++j) {
            if (j == i) continue;
            const double distance = squared(j);
            if (nearest < 0.0 || distance < nearest) nearest = distance;
        }
        const double own = squared(-1);
        return nearest < 0.0 || own == 0.0 ? 0.0 : std::sqrt(nearest / own) / 2.0;
    }

    template <class B, class T>
    void draw(B& b, const panels<T>& router, matrix_view<T> delta, matrix_view<T> proxy) const {
        const random_stream random(seed, stream_id(stream), step);
        kernels_of<B>::for_rows(b, delta.rows, [=, &router, noisy = noise](index_t i) {
            const double epsilon = noisy ? spread_of(router, i) : 0.0;
            for (index_t c = 0; c < delta.cols; ++c) {
                const double u = 2.0 * random.uniform(std::uint64_t(i), std::uint32_t(c)) - 1.0;
                delta(i, c) = T(1.0 + epsilon * u);
                proxy(i, c) = delta(i, c) * router(0, i, c);
            }
        });
    }

    template <class T>
    MOE_FN static double length(const T* v, index_t n) {
        double sum = 0.0;
        for (index_t h = 0; h < n; ++h) sum += static_cast<double>(v[h]) * static_cast<double>(v[h]);
        return std::sqrt(sum);
    }

    // The loss of M without the coefficient, and its derivative.
    double hinge(matrix_view<const double> m, matrix_view<double> dm) const {
        const double scale = 1.0 / (static_cast<double>(m.rows) * static_cast<double>(m.rows));
        for (index_t i = 0; i < m.rows; ++i) {
            for (index_t j = 0; j < m.rows; ++j) dm(i, j) = 0.0;
        }
        double sum = 0.0;
        const auto exceed = [&](index_t row, index_t column, index_t own) {
            const double over = m(row, column) - alpha * m(own, own);
            if (!(over > 0.0)) return;
            sum += over;
            dm(row, column) += scale;
            dm(own, own) -= alpha * scale;
        };
        for (index_t i = 0; i < m.rows; ++i) {
            for (index_t j = 0; j < m.rows; ++j) {
                if (i == j) continue;
                exceed(i, j, i);
                exceed(j, i, i);
            }
        }
        return sum * scale;
    }
};

MOE_END
