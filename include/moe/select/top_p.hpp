// select: keys [T,E] -> ragged choice, the best experts of every token until their keys add up to p
// SPDX-License-Identifier: Apache-2.0
//
//     with the experts of a token in order, best first, and S(n) = key_1 + ... + key_n:
//     include_crossing   takes 1..n for the smallest n with S(n) >= p (with `exceed`: S(n) > p)
//     otherwise          takes 1..n for the largest n with S(1), ..., S(n) <= p
//
// Source: nucleus sampling (Holtzman et al. 2020) on experts; Dynamic MoE 2024 (exceed: the first expert that exceeds p is
// the last one taken), UniMoE-Audio (reach), DynMoLE (the crossing expert is left out, at least 2).
// order         key descending, then lower expert; slots in this order
// number        at least min_experts, at most max_experts (batch.k where set); -inf is never taken, even below the minimum
// keys          meant for probabilities: negative keys only postpone the end. Sums are made in T, in order
// NaN           ranks after every finite key; a sum that is NaN reaches nothing: with include_crossing all further experts
//               are taken, otherwise none
// not monotone  without include_crossing a higher key can leave the set, because it alone may cross p
// masked        no slots
// errors        value_error for p below 0 or NaN and for bounds out of order or above E
// cost          O(T E n) for n routes per token, no scratch
// determinism   a pure function of the bits of the token's keys
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/select/ragged.hpp"

MOE_BEGIN

struct top_p {
    using role = selector_step;
    static constexpr const char* name = "top_p";

    double p = 0.9;
    bool include_crossing = true;
    bool exceed = false;      // the sum must exceed p, not just reach it
    index_t min_experts = 1;
    index_t max_experts = 0;  // 0: all

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        if (!(p >= 0.0)) throw_value("top_p.p", "at least 0", std::to_string(p));
        check_range("top_p.min_experts", min_experts, 0, columns);
        check_range("top_p.max_experts", max_experts, 0, columns);
        if (max_experts != 0) check_range("top_p.max_experts", max_experts, min_experts, columns);
        if (in.k != 0) check_range("batch.k (the most top_p takes)", in.k, min_experts, columns);
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        return std::int64_t{in.tokens()} * most(in, experts);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const index_t width = most(s.in(), s.keys.cols);
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, keys = s.keys, mask = s.in().mask](index_t t) {
            index_t* expert = c.expert.data() + std::ptrdiff_t(t) * width;
            c.offset[std::size_t(t) + 1] = detail::is_live(mask, t) ? take(keys.row(t), keys.cols, expert, width) : 0;
        });
        detail::close_gaps(c, s.tokens(), width);
    }

private:
    static void check_range(const char* option, index_t value, index_t least, index_t largest) {
        if (value >= least && value <= largest) return;
        throw_value(option, std::to_string(least) + " to " + std::to_string(largest), std::to_string(value));
    }

    template <class T>
    index_t most(const batch<T>& in, index_t experts) const {
        if (in.k != 0) return in.k;
        return max_experts != 0 ? max_experts : experts;
    }

    template <class T>
    MOE_FN index_t take(const T* key, index_t columns, index_t* expert, index_t width) const {
        const T bound = T(p);
        T sum = T(0);
        bool enough = false;  // for good: the sum of negative keys may fall below p again
        index_t count = 0;
        for (index_t last = -1; count < width; ++count) {
            const index_t next = next_best_of_row(key, columns, last);
            if (next < 0) break;
            enough = enough ||
                     (include_crossing ? (exceed ? sum > bound : sum >= bound) : !(sum + key[next] <= bound));
            if (enough && count >= min_experts) break;
            expert[count] = last = next;
            sum += key[next];
        }
        return count;
    }
};

MOE_END
