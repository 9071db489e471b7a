// select: keys [T,2n] -> choice [T,K], the best pairs of two sets of n keys
// SPDX-License-Identifier: Apache-2.0
//
//     key of expert i n + j = keys[t][i] + keys[t][n + j];   weight = scores[t][i] + scores[t][n + j]
//
// Source: Lample et al. 2019, PEER (He 2024), both behind product_keys_gate; Doge, behind a linear_gate with 2 n columns,
// whose keys of both halves see the whole of x.
// order         sum of the pair descending, then lower expert; among the pairs of the K best of each half, which
//               contain the K best pairs. An excluded half-key (-inf) excludes its pairs; NaN ranks after every finite
//               sum
// slots         best expert first; K = batch.k if set, else k
// errors        value_error if k is below 1 or above the number of experts, shape_error for an odd number of columns
// gradient      d_scores of both halves += d_weight
// cost          O(T (n K + K^3)) at worst instead of O(T n^2); scratch T (3 K) numbers
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct product_keys {
    using role = selector_step;
    static constexpr const char* name = "product_keys";
    static constexpr bool expert_equivariant = false;

    index_t k = 1;  // routes per token

    index_t experts(index_t columns) const { return (columns / 2) * (columns / 2); }

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        if (k < 1) throw_value("product_keys.k", "at least 1", std::to_string(k));
        if (columns % 2 != 0 || columns > 92680) {
            throw_shape("product_keys: columns of the gate", "an even number up to 92680", std::to_string(columns));
        }
    }

    template <class T>
    std::int64_t width(const batch<T>& in, index_t) const {
        return in.k != 0 ? in.k : k;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const index_t count = static_cast<index_t>(width(s.in(), s.experts));
        const index_t n = s.keys.cols / 2;
        const index_t half = std::min(count, n);
        const matrix_view<index_t> best = b.scratch().template take<index_t>(s.tokens(), 2 * half);
        const matrix_view<T> found = b.scratch().template take<T>(s.tokens(), count);
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys](index_t t) {
            index_t* first = best.row(t);
            index_t* second = first + half;
            best_of_row(keys.row(t), n, first, half);
            best_of_row(keys.row(t) + n, n, second, half);
            best_pairs(keys.row(t), n, first, second, half, found.row(t), c.expert.data() + std::ptrdiff_t(t) * count,
                       count);
        });
    }

    template <class B, class T>
    void weigh(B& b, const routing<T>& s, std::span<T> weight) const {
        const index_t n = s.scores.cols / 2;
        kernels_of<B>::for_rows(b, s.tokens(), [=, r = s.routes, scores = s.scores](index_t t) {
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const index_t e = r.expert[static_cast<std::size_t>(i)];
                weight[static_cast<std::size_t>(i)] = e < 0 ? T(0) : scores(t, e / n) + scores(t, n + e % n);
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>&, const routing<T>& after, adjoint<T>& d) const {
        const index_t n = after.scores.cols / 2;
        kernels_of<B>::for_rows(b, after.tokens(),
                                [=, r = after.routes, d_scores = d.scores, d_w = d.weight](index_t t) {
                                    for (index_t i = r.begin(t); i < r.end(t); ++i) {
                                        const index_t e = r.expert[static_cast<std::size_t>(i)];
                                        if (e < 0) continue;
                                        d_scores(t, e / n) += d_w[static_cast<std::size_t>(i)];
                                        d_scores(t, n + e % n) += d_w[static_cast<std::size_t>(i)];
                                    }
                                });
    }

private:
    // The best `count` pairs in order into expert; -1 behind the last. `sum` [count] is scratch.
    template <class T>
    MOE_FN static void best_pairs(const T* key, index_t n, const index_t* first, const index_t* second, index_t half,
                                  T* sum, index_t* expert, index_t count) {
        index_t found = 0;
        for (index_t i = 0; i < half && first[i] >= 0; ++i) {
            for (index_t j = 0; j < half && second[j] >= 0; ++j) {
                const T pair = key[first[i]] + key[n + second[j]];
                const index_t e = first[i] * n + second[j];
                if (found == count && !ranks_before(pair, e, sum[count - 1], expert[count - 1])) continue;
                index_t place = found < count ? found++ : count - 1;
                for (; place > 0 && ranks_before(pair, e, sum[place - 1], expert[place - 1]); --place) {
                    expert[place] = expert[place - 1];
                    sum[place] = sum[place - 1];
                }
                expert[place] = e;
                sum[place] = pair;
            }
        }
        for (; found < count; ++found) expert[found] = -1;
    }
};

MOE_END
