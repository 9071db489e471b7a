// route: weight -> softmax over the token's live slots
// SPDX-License-Identifier: Apache-2.0
//
//     w'[s] = exp(w[s] / temperature) / sum over the token's live slots j of exp(w[j] / temperature)
//
// right behind the selector the weights are the gathered scores: the logits, if no score step stands before.
// Source: Shazeer et al. 2017, gpt-oss, Granite, JetMoE; DyMoE (temperature 0.01).
// edges         dead slots keep 0; if all live weights are -inf the result is 0; NaN or +inf fills its token with NaN
// gradient      dw[s] = w'[s] (dw'[s] - sum over j of w'[j] dw'[j]) / temperature
// errors        value_error if the temperature is not above 0
#pragma once

#include <cmath>
#include <limits>

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct softmax_selected {
    using role = route_step;
    static constexpr const char* name = "softmax_selected";
    static constexpr bool non_negative = true;
    static constexpr bool sums_to_one = true;
    static constexpr bool any_memory = true;

    double temperature = 1.0;

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        if (temperature > 0.0 && std::isfinite(temperature)) return;
        throw_value("softmax_selected.temperature", "a finite number above 0", std::to_string(temperature));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, std::span<T> weight) const {
        const routes<T> r = s.routes;
        const T tau = T(temperature);
        kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
            normalise(r, weight, t, tau);
        });
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        const routes<T> r = before.routes;
        const std::span<const T> w = after.routes.weight;
        const std::span<T> d_weight = d.weight;
        const T tau = T(temperature);
        kernels_of<B>::for_rows(b, before.tokens(), [=] MOE_ROW(index_t t) {
            T mean = T(0);
            for (index_t i = r.begin(t); i < r.end(t); ++i) mean += w[std::size_t(i)] * d_weight[std::size_t(i)];
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const std::size_t j = std::size_t(i);
                d_weight[j] = r.expert[j] < 0 ? T(0) : w[j] * (d_weight[j] - mean) / tau;
            }
        });
    }

private:
    template <class T>
    MOE_FN static void normalise(const routes<T>& r, std::span<T> weight, index_t t, T tau) {
        T largest = -std::numeric_limits<T>::infinity();
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            const T w = weight[std::size_t(i)];
            if (r.expert[std::size_t(i)] >= 0 && !(w <= largest)) largest = w;
        }
        T sum = T(0);
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            const std::size_t j = std::size_t(i);
            const bool live = r.expert[j] >= 0 && largest != -std::numeric_limits<T>::infinity();
            weight[j] = live ? std::exp((weight[j] - largest) / tau) : T(0);
            sum += weight[j];
        }
        if (sum == T(0)) return;
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            if (r.expert[std::size_t(i)] >= 0) weight[std::size_t(i)] /= sum;
        }
    }
};

MOE_END
