// experts: rows of x [R,D] -> rows [R,Dout], very many experts of one hidden value each
// SPDX-License-Identifier: Apache-2.0
//
//     row = act(<x, in[e]>) * out[e]           in [E,D], out [E,Dout]
//
// Source: PEER (He 2024), Doge, OmniMoE. A feed-forward bank of width 1 computes the same; this one stores no padding,
// which counts with 10^4 to 10^6 experts.
// cost          4 R D flops, O(E) to walk the plan
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/experts/activation.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

struct rank_one_options {
    index_t features = 0;    // D
    index_t experts = 0;     // E
    index_t outputs = 0;     // Dout; 0: as many as features
    std::uint64_t seed = 0;  // of the initial weights
};

template <class T, class Activation>
class rank_one_bank {
public:
    using role = experts_part;
    using scalar = T;

    matrix<T> in;   // [E,D]
    matrix<T> out;  // [E,Dout]
    Activation activation{};

    rank_one_bank(const rank_one_options& o) {
        detail::require_positive("rank_one_bank.features", o.features);
        detail::require_positive("rank_one_bank.experts", o.experts);
        if (o.outputs < 0)
            throw_value("rank_one_bank.outputs", "at least 0 (0: as features)", std::to_string(o.outputs));
        in = matrix<T>(o.experts, o.features);
        out = matrix<T>(o.experts, o.outputs == 0 ? o.features : o.outputs);
        draw(in, random_stream(o.seed, stream_id("rank_one_bank.in")));
        draw(out, random_stream(o.seed, stream_id("rank_one_bank.out")));
    }

    index_t features() const { return in.cols(); }
    index_t experts() const { return in.rows(); }
    index_t outputs() const { return out.cols(); }

    struct saved {
        std::span<T> argument;  // [R]
    };

    template <class B>
    saved forward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<T> rows) const {
        const saved kept{s.memory->template take<T>(std::size_t(plan.last_row()))};
        kernels_of<B>::for_rows(
            b, plan.experts(),
            [plan, rows, kept, x = s.in().x, read = in.view(), write = out.view(), act = activation](index_t e) {
                for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                    const T z = dot(x.row(plan.token[std::size_t(r)]), read.row(e), read.cols);
                    const T h = act.template value<scalar_math>(z);
                    kept.argument[std::size_t(r)] = z;
                    for (index_t n = 0; n < write.cols; ++n) rows(r, n) = h * write(e, n);
                }
            });
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<T>& s, const plan_view& plan, matrix_view<const T> d_rows, adjoint<T>& d,
                  const saved& kept, G& g) const {
        const matrix_view<T> dx = b.scratch().template take<T>(plan.last_row(), features());
        matrix_view<T> d_in, d_out;
        if constexpr (!std::is_same_v<G, no_gradient>) {
            d_in = g.in.view();
            d_out = g.out.view();
        }
        kernels_of<B>::for_rows(b, plan.experts(), [=, x = s.in().x, read = in.view(), write = out.view(),
                                                    act = activation](index_t e) {
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                const T z = kept.argument[std::size_t(r)];
                const T dz = act.template gradient<scalar_math>(z, dot(d_rows.row(r), write.row(e), write.cols));
                for (index_t j = 0; j < read.cols; ++j) dx(r, j) = dz * read(e, j);
                if (d_in.data == nullptr) continue;
                const T h = act.template value<scalar_math>(z);
                const T* from = x.row(plan.token[std::size_t(r)]);
                for (index_t n = 0; n < write.cols; ++n) d_out(e, n) += h * d_rows(r, n);
                for (index_t j = 0; j < read.cols; ++j) d_in(e, j) += dz * from[j];
            }
        });
        kernels_of<B>::weighted_sum(b, plan, dx, {}, d.x, true);
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("in", p.in...);
        v("out", p.out...);
    }

private:
    static T dot(const T* a, const T* b, index_t n) {
        T sum = T(0);
        for (index_t i = 0; i < n; ++i) sum += a[i] * b[i];
        return sum;
    }

    static void draw(matrix<T>& m, const random_stream& random) {
        const double bound = 1.0 / std::sqrt(static_cast<double>(m.cols()));
        for (index_t e = 0; e < m.rows(); ++e) {
            for (index_t j = 0; j < m.cols(); ++j) {
                m(e, j) = static_cast<T>(bound * (2.0 * random.uniform(std::uint64_t(e), std::uint32_t(j)) - 1.0));
            }
        }
    }
};

MOE_END
