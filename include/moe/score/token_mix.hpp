// score: every token's scores become a mixture of the scores of related tokens
// SPDX-License-Identifier: Apache-2.0
//
//     s'[t][e] = sum over j of A[t][j] s[j][e],   A = batch.side [T,T]
//
// Source: attention-aware routing (graph of tokens): A is what the attention in front has computed, averaged over its
// heads. Only routing is shared, experts see the token's own x. token_mix<true> reads j <= t alone, which is causal.
// needs         batch.side [T,T]; rows that sum to 1 keep probabilities probabilities
// masked        a masked token gives nothing to others, whatever its column of A says, and keeps its own scores
// NaN           spreads to the tokens whose row of A reads it with a factor other than 0
// errors        shape_error unless batch.side is [T,T]
// gradient      ds[j][e] = sum over t of A[t][j] ds'[t][e]; A gets none
// cost          2 T^2 E flops as a plain loop; scratch T E
// determinism   sums over tokens run in ascending order
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

template <bool Causal = false>
struct token_mix {
    using role = score_step;
    static constexpr const char* name = "token_mix";
    static constexpr bool causal = Causal;
    static constexpr bool batch_coupled = true;
    static constexpr bool token_equivariant = !Causal;
    static constexpr unsigned needs = needs_side;

    template <class T>
    void check(const batch<T>& in, index_t, index_t) const {
        if (in.side.data != nullptr) detail::require_shape("batch.side", in.side, in.tokens(), in.tokens());
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        mix(b, s.in(), scores, [a = s.in().side](index_t t, index_t j) { return Causal && j > t ? T(0) : a(t, j); });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        mix(b, before.in(), d.scores,
            [a = before.in().side](index_t t, index_t j) { return Causal && t > j ? T(0) : a(j, t); });
    }

private:
    // A factor of 0 reads nothing: another token's NaN stays where it is.
    template <class B, class T, class F>
    static void mix(B& b, const batch<T>& in, matrix_view<T> m, const F& factor) {
        const matrix_view<T> from = b.scratch().template take<T>(m.rows, m.cols);
        kernels_of<B>::copy(b, matrix_view<const T>(m), from);
        kernels_of<B>::for_rows(b, m.rows, [=, mask = in.mask](index_t t) {
            const auto live = [mask](index_t i) { return mask.empty() || mask[std::size_t(i)] != 0; };
            if (!live(t)) return;
            for (index_t e = 0; e < m.cols; ++e) m(t, e) = T(0);
            for (index_t j = 0; j < m.rows; ++j) {
                const T share = live(j) ? factor(t, j) : T(0);
                if (share == T(0)) continue;
                for (index_t e = 0; e < m.cols; ++e) m(t, e) += share * from(j, e);
            }
        });
    }
};

MOE_END
