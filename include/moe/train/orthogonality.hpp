// train/loss: weights -> how parallel their rows are, gradient added to theirs
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient / (G N (N - 1)) * sum over groups, i, j != i of cos(w[i], w[j])^2
//
// The rows of a linear gate are the experts' directions; of a bank, the rows of each expert among themselves. 0 for
// orthogonal rows (at most K of them can be), 1 for parallel ones. Source: the orthogonality penalty on prompts and routers
// in several papers, in its scale-free form. Reads no token. One row: 0.
// edges         a row of zeros has cosine 0 with all others and no gradient
// gradient      dL/dw[i] = 4 coefficient / (G N (N - 1)) * sum over j of cos_ij (w^[j] - cos_ij w^[i]) / |w[i]|
// errors        a gradient of another shape; a coefficient that is not finite
#pragma once

#include <cmath>

#include "moe/backend/kernels.hpp"
#include "moe/train/probabilities.hpp"

MOE_BEGIN

struct orthogonality {
    static constexpr const char* name = "orthogonality";

    double coefficient = 1.0;

    template <class B, class T>
    double operator()(B& b, const panels<T>& w, panels<T>& d_w) const {
        require_host_readable<B>();
        detail::require_finite("orthogonality.coefficient", coefficient);
        if (w.groups() != d_w.groups() || w.outputs() != d_w.outputs() || w.inputs() != d_w.inputs()) {
            throw_shape("orthogonality: gradient", std::to_string(w.span().size()) + " elements of the same shape",
                        std::to_string(d_w.span().size()));
        }
        const index_t n = w.outputs();
        if (n < 2 || w.groups() == 0) return 0.0;
        const double scale = coefficient / (double(w.groups()) * n * (n - 1.0));
        double sum = 0.0;
        for (index_t g = 0; g < w.groups(); ++g) {
            arena_frame frame(b.scratch());
            sum += add_group(b, w, d_w, g, scale);
        }
        return scale * sum;
    }

private:
    // The rows as unit vectors; their lengths.
    template <class T>
    struct directions {
        matrix_view<double> unit;    // [N,K]
        std::span<double> length;    // [N]
        std::span<double> parallel;  // [N] sum over j of cos^2
    };

    template <class B, class T>
    static double add_group(B& b, const panels<T>& w, panels<T>& d_w, index_t g, double scale) {
        const index_t n = w.outputs();
        const directions<T> rows{b.scratch().template take<double>(n, w.inputs()),
                                 b.scratch().template take<double>(std::size_t(n)),
                                 b.scratch().template take<double>(std::size_t(n))};
        kernels_of<B>::for_rows(b, n, [rows, &w, g](index_t i) {
            double squares = 0.0;
            for (index_t k = 0; k < w.inputs(); ++k) squares += double(w(g, i, k)) * double(w(g, i, k));
            const double length = std::sqrt(squares);
            rows.length[std::size_t(i)] = length;
            for (index_t k = 0; k < w.inputs(); ++k) rows.unit(i, k) = length > 0.0 ? double(w(g, i, k)) / length : 0.0;
        });
        kernels_of<B>::for_rows(b, n, [rows, &d_w, g, scale](index_t i) { add_row(rows, d_w, g, i, scale); });
        double sum = 0.0;
        for (const double v : rows.parallel) sum += v;
        return sum;
    }

    template <class T>
    static void add_row(const directions<T>& rows, panels<T>& d_w, index_t g, index_t i, double scale) {
        const matrix_view<double> u = rows.unit;
        const double length = rows.length[std::size_t(i)];
        double squares = 0.0;
        for (index_t j = 0; j < u.rows; ++j) {
            if (j == i) continue;
            double cosine = 0.0;
            for (index_t k = 0; k < u.cols; ++k) cosine += u(i, k) * u(j, k);
            squares += cosine * cosine;
            if (!(length > 0.0)) continue;
            const double factor = 4.0 * scale * cosine / length;
            for (index_t k = 0; k < u.cols; ++k) d_w(g, i, k) += T(factor * (u(j, k) - cosine * u(i, k)));
        }
        rows.parallel[std::size_t(i)] = squares;
    }
};

MOE_END
