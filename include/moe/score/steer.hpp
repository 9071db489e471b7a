// score: pushes chosen experts up or down, for all tokens or by the token's label
// SPDX-License-Identifier: Apache-2.0
//
//     steering::gain        z'[e] = z[e] + amount * (population standard deviation of the token's z)
//     steering::force_in    z'[e] = max z + margin,   margin = amount * (1 + |max z|)
//     steering::force_out   z'[e] = min z - margin,   margin = amount * (1 + |min z|)
//
// for the experts of the row of `experts` that the token sees; the others keep their bits.
// Source: steering to task experts in multilingual models; there the margin of the hard form is random noise of 1e-6
// that breaks ties, here it is a fixed share, so that forced experts stand above all others in any precision.
// order         several forced experts tie: the lower index comes first
// excluded      entries of -inf take no part and stay -inf; NaN of a token stays in the token, and is its largest or
//               smallest entry only where it has no other
// errors        shape_error if the table has not one column per expert; value_error for a label out of range, an amount
//               that is not finite, or one that is not positive when forcing
// gradient      exact: through the standard deviation, or from forced experts to the largest (smallest) entry
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/label_table.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

enum class steering { gain, force_in, force_out };

struct steer {
    using role = score_step;
    static constexpr const char* name = "steer";
    static constexpr bool expert_equivariant = false;

    matrix<std::uint8_t> experts;  // [L,E] 1 = steered; one row holds for all tokens
    steering mode = steering::gain;
    double amount = 0.5;

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        detail::check_label_table("steer.experts", experts, in, columns);
        constexpr double largest = std::numeric_limits<double>::max();
        if (!(amount >= -largest && amount <= largest)) {
            throw_value("steer.amount", "a finite number", std::to_string(amount));
        }
        if (mode != steering::gain && !(amount > 0.0)) {
            throw_value("steer.amount", "a positive number when forcing", std::to_string(amount));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        const detail::label_rows rows(experts.view(), s.in().label, s.in().mask);
        kernels_of<B>::for_rows(b, scores.rows, [=, how = mode, a = static_cast<T>(amount)](index_t t) {
            const std::uint8_t* steered = rows.of(t);
            T* z = scores.row(t);
            if (steered == nullptr) return;
            const target<T> to = target_of(z, scores.cols, how, a);
            for (index_t e = 0; e < scores.cols; ++e) {
                if (steered[e] == 0 || excluded(z[e])) continue;
                z[e] = how == steering::gain ? z[e] + to.value : to.value;
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        const detail::label_rows rows(experts.view(), before.in().label, before.in().mask);
        kernels_of<B>::for_rows(b, before.tokens(), [=, scores = before.scores, d_scores = d.scores, how = mode,
                                                     a = static_cast<T>(amount)](index_t t) {
            const std::uint8_t* steered = rows.of(t);
            if (steered != nullptr) turn_row(scores.row(t), d_scores.row(t), scores.cols, steered, how, a);
        });
    }

private:
    // What steered entries become (gain: what is added), and where it comes from.
    template <class T>
    struct target {
        T value, mean, deviation;
        index_t from, count;
    };

    template <class T>
    MOE_FN static target<T> target_of(const T* z, index_t n, steering how, T amount) {
        target<T> to{T(0), T(0), T(0), -1, 0};
        for (index_t e = 0; e < n; ++e) {
            if (excluded(z[e])) continue;
            to.mean += z[e];
            ++to.count;
            const bool further = to.from >= 0 && (how == steering::force_out ? z[e] < z[to.from] : z[e] > z[to.from]);
            const bool first_number = to.from < 0 || (z[to.from] != z[to.from] && z[e] == z[e]);
            if (first_number || further) to.from = e;
        }
        if (to.count == 0) return to;
        to.mean /= static_cast<T>(to.count);
        if (how != steering::gain) {
            const T end = z[to.from];
            const T margin = amount * (T(1) + std::abs(end));
            to.value = how == steering::force_in ? end + margin : end - margin;
            return to;
        }
        T variance = T(0);
        for (index_t e = 0; e < n; ++e) {
            if (!excluded(z[e])) variance += (z[e] - to.mean) * (z[e] - to.mean);
        }
        to.deviation = std::sqrt(variance / static_cast<T>(to.count));
        to.value = amount * to.deviation;
        return to;
    }

    template <class T>
    MOE_FN static void turn_row(const T* z, T* d, index_t n, const std::uint8_t* steered, steering how, T amount) {
        const target<T> to = target_of(z, n, how, amount);
        T sum = T(0);
        for (index_t e = 0; e < n; ++e) {
            if (steered[e] == 0 || excluded(z[e])) continue;
            sum += d[e];
            if (how != steering::gain) d[e] = T(0);
        }
        if (to.count == 0) return;
        if (how != steering::gain) {
            const T sign = z[to.from] < T(0) ? T(-1) : T(1);
            d[to.from] += sum * (how == steering::force_in ? T(1) + amount * sign : T(1) - amount * sign);
            return;
        }
        if (to.deviation == T(0)) return;
        const T slope = amount * sum / (static_cast<T>(to.count) * to.deviation);
        for (index_t e = 0; e < n; ++e) {
            if (!excluded(z[e])) d[e] += slope * (z[e] - to.mean);
        }
    }
};

MOE_END
