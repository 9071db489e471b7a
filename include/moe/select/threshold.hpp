// select: keys [T,E] -> ragged choice, all experts above a threshold
// SPDX-License-Identifier: Apache-2.0
//
//     takes every expert with key > value (with inclusive: >= value)
//
// Source: MoMa's causal inference (0.5, exclusive), BlockFFN (ReLU scores, above 0), Expert Race's inference
// (inclusive, the running mean of training thresholds that the controller ema_threshold keeps in `value`).
// number        at least min_experts (the best ones, if fewer pass), at most max_experts (the best of those that pass;
//               batch.k where set)
// order         slots best first; -inf is never taken; NaN passes no threshold, but ranks last for min_experts
// state         value: saved with the layer, not trained
// errors        value_error for bounds out of order or above E, or a NaN threshold
// cost          O(T E n) for n routes per token, no scratch
// determinism   a pure function of the bits of the token's keys
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"
#include "moe/select/ragged.hpp"

MOE_BEGIN

namespace detail {

// The experts of a row above `value`, best first, at least `least` and at most `most`; returns how many.
template <class T>
MOE_FN index_t take_above(const T* key, index_t columns, T value, bool inclusive, index_t least, index_t most,
                          index_t* expert) {
    index_t count = 0;
    for (index_t last = -1; count < most; ++count) {
        const index_t next = next_best_of_row(key, columns, last);
        if (next < 0) break;
        const bool above = inclusive ? key[next] >= value : key[next] > value;
        if (!above && count >= least) break;
        expert[count] = last = next;
    }
    return count;
}

// Bounds on the number of experts of a token; `part` names the step.
template <class T>
void check_bounds(const char* part, const batch<T>& in, index_t least, index_t most, index_t columns) {
    const auto require = [part](index_t value, index_t low, index_t high, const char* option, const char* behind) {
        if (value >= low && value <= high) return;
        const std::string own = behind[0] == 0 ? std::string(part) + option : std::string(option) + part + behind;
        throw_value(own, std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
    };
    require(least, 0, columns, ".min_experts", "");
    if (most != 0) require(most, least, columns, ".max_experts", "");
    if (in.k != 0) require(in.k, least, columns, "batch.k (the most ", " takes)");
}

template <class T>
index_t most_experts(const batch<T>& in, index_t most, index_t columns) {
    if (in.k != 0) return in.k;
    return most != 0 ? most : columns;
}

}  // namespace detail

struct threshold {
    using role = selector_step;
    static constexpr const char* name = "threshold";

    double value = 0.0;
    bool inclusive = false;
    index_t min_experts = 0;
    index_t max_experts = 0;  // 0: all

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        if (value != value) throw_value("threshold.value", "a number", "nan");
        detail::check_bounds("threshold", in, min_experts, max_experts, columns);
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t experts) const {
        return std::int64_t{in.tokens()} * detail::most_experts(in, max_experts, experts);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, ragged_choice c) const {
        const index_t most = detail::most_experts(s.in(), max_experts, s.keys.cols);
        kernels_of<B>::for_rows(b, s.tokens(), [=, *this, keys = s.keys, mask = s.in().mask](index_t t) {
            index_t* expert = c.expert.data() + std::ptrdiff_t(t) * most;
            c.offset[std::size_t(t) + 1] =
                detail::is_live(mask, t)
                    ? detail::take_above(keys.row(t), keys.cols, T(value), inclusive, min_experts, most, expert)
                    : 0;
        });
        detail::close_gaps(c, s.tokens(), most);
    }

    template <class V, class... P>
    static void state(V&& v, P&... p) {
        v("value", p.value...);
    }
};

MOE_END
