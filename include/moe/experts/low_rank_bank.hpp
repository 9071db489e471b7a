// experts: rows of x [R,D] -> rows [R,Dout], one low-rank map per expert
// SPDX-License-Identifier: Apache-2.0
//
//     row = alpha / rank * B (A x)          A [E,rank,D], B [E,Dout,rank], B = 0 at the start
//
// Source: LoRA (Hu et al. 2021) as an expert of its own: MixLoRA, MoLE, PERFT. Beside a frozen expert: moe::bank_sum.
// The weights are `up` (A) and `down` (B) of the feed-forward bank it is.
#pragma once

#include "moe/experts/ffn_bank.hpp"

MOE_BEGIN

// z times a constant.
struct scaled_linear {
    double factor = 1.0;

    template <class M, class V>
    MOE_FN V value(V z) const {
        return V(factor) * z;
    }
    template <class M, class V>
    MOE_FN V gradient(V, V dh) const {
        return V(factor) * dh;
    }
};

struct low_rank_options {
    index_t features = 0;    // D
    index_t rank = 0;
    index_t experts = 0;     // E
    double alpha;            // must be given
    std::uint64_t seed = 0;  // of A
    index_t outputs = 0;     // Dout; 0: as many as features
};

template <class T>
class low_rank_bank : public ffn_bank<T, scaled_linear> {
public:
    low_rank_bank(const low_rank_options& o) : ffn_bank<T, scaled_linear>(checked(o), {o.alpha / double(o.rank)}) {
        for (T& w : this->down.span()) w = T(0);
    }

private:
    static bank_options checked(const low_rank_options& o) {
        detail::require_positive("low_rank_bank.rank", o.rank);
        if (!(o.alpha > 0.0)) throw_value("low_rank_bank.alpha", "a number above 0", std::to_string(o.alpha));
        return {.features = o.features,
                .hidden = o.rank,
                .experts = o.experts,
                .bias = false,
                .seed = o.seed,
                .outputs = o.outputs};
    }
};

MOE_END
