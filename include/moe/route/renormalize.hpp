// route: weight -> weight / (sum of the token's weights + epsilon)
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = w[s] / max(sum over the token's live slots of w + epsilon, least)
//
// Source: Mixtral, Qwen (no guard), DeepSeek-V3 (epsilon 1e-20), LFM2 (epsilon 1e-6), ERNIE (least 1e-12), NLLB (least the
// scalar's epsilon), llama.cpp (least 2^-14). Megatron-Core and MLX leave tokens with one slot alone (skip_single).
// zero sum      if the divisor is 0 the weights stay as they are, 0 for scores that underflowed: no NaN
// gradient      dw[s] = (dw'[s] - sum over j of w'[j] dw'[j]) / divisor; dw'[s] / least where `least` is the divisor
// note          with one slot and epsilon 0 the weight is always 1 and the gate gets no gradient through it: set skip_single
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct renormalize {
    using role = route_step;
    static constexpr const char* name = "renormalize";
    static constexpr bool any_memory = true;

    double epsilon = 0.0;      // added to the sum
    double least = 0.0;        // the smallest divisor
    bool skip_single = false;  // tokens with a single slot keep their weight

    part_traits traits() const {
        return {.non_negative = true, .sums_to_one = epsilon == 0.0 && least == 0.0 && !skip_single};
    }

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (!(epsilon >= 0.0)) throw_value("renormalize.epsilon", "at least 0", std::to_string(epsilon));
        if (!(least >= 0.0)) throw_value("renormalize.least", "at least 0", std::to_string(least));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        const renormalize step = *this;
        const routes<T> r = s.routes;
        kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
            const T by = step.divisor(r, weight, t);
            if (by == T(0) || step.left_alone(r, t)) return;
            // A dead slot stays 0, also where the sum is NaN.
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                if (r.expert[std::size_t(i)] >= 0) weight[std::size_t(i)] /= by;
            }
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        const renormalize step = *this;
        const routes<T> r = before.routes;
        const std::span<const T> w = after.routes.weight;
        const std::span<T> d_weight = d.weight;
        kernels_of<B>::for_rows(b, before.tokens(), [=] MOE_ROW(index_t t) {
            const T by = step.divisor(r, r.weight, t);
            if (by == T(0) || step.left_alone(r, t)) return;
            T mean = T(0);
            if (!step.bounded(r, r.weight, t)) {
                for (index_t i = r.begin(t); i < r.end(t); ++i) mean += w[std::size_t(i)] * d_weight[std::size_t(i)];
            }
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                d_weight[std::size_t(i)] = (d_weight[std::size_t(i)] - mean) / by;
            }
        });
    }

private:
    template <class T>
    MOE_FN bool left_alone(const routes<T>& r, index_t t) const {
        return skip_single && r.end(t) - r.begin(t) == 1;
    }

    // Dead slots have weight 0.
    template <class T, class W>
    MOE_FN T guarded_sum(const routes<T>& r, W weight, index_t t) const {
        T total = T(0);
        for (index_t i = r.begin(t); i < r.end(t); ++i) total += weight[std::size_t(i)];
        return total + T(epsilon);
    }
    template <class T, class W>
    MOE_FN bool bounded(const routes<T>& r, W weight, index_t t) const {
        return guarded_sum(r, weight, t) < T(least);
    }
    template <class T, class W>
    MOE_FN T divisor(const routes<T>& r, W weight, index_t t) const {
        const T sum = guarded_sum(r, weight, t);
        return sum < T(least) ? T(least) : sum;
    }
};

MOE_END
