// experts/allocate_bits: which expert gets how many bits
// SPDX-License-Identifier: Apache-2.0
//
//     allocate_bits(cost [E,W], {1, 2, 3}, budget, {2, 3})   one width per expert, least sum of costs within the budget
//     allocate_top(score [E], 0.25, 4, 2)                    4 bits for the top quarter, 2 for the rest
//     mean_bits(bits, parameters)                            what that comes to
//
// Source: MC# 2025, integer program over cost(e, w) = frequency^a * gate mass^b * damage(e, w)^c, where at least one
// expert must have each of some widths; QuantMoE-Bench 2024 for the top fraction and the outlier score. The program is
// solved exactly: dynamic programming over (expert, bits used, which of the required widths are there).
// ties          allocate_bits: any of the equals, always the same one; allocate_top: lower ids
// errors        negative or NaN costs, widths below 1 or not ascending, a budget that no choice meets: value_error
// cost          E * budget * W * 2^required
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "moe/core/storage.hpp"

MOE_BEGIN

namespace detail {

inline void check_widths(const std::vector<int>& widths) {
    if (widths.empty() || widths.size() > 8) {
        throw_value("allocate_bits: widths", "1 to 8 of them", std::to_string(widths.size()));
    }
    int last = 0;
    for (const int w : widths) {
        if (w <= last) throw_value("allocate_bits: widths", "ascending from 1", std::to_string(w));
        last = w;
    }
}

inline void check_factor(const char* what, double factor, index_t expert) {
    if (factor >= 0 && std::isfinite(factor)) return;
    throw_value(std::string("allocate_bits: ") + what + " of expert " + std::to_string(expert), "finite, at least 0",
                std::to_string(factor));
}

inline void check_costs(matrix_view<const double> cost) {
    for (index_t e = 0; e < cost.rows; ++e) {
        for (index_t w = 0; w < cost.cols; ++w) check_factor("cost", cost(e, w), e);
    }
}

// Bit i: widths[i] is required.
inline std::size_t required_mask(const std::vector<int>& widths, const std::vector<int>& required) {
    std::size_t mask = 0;
    for (const int r : required) {
        const auto at = std::find(widths.begin(), widths.end(), r);
        if (at == widths.end()) throw_value("allocate_bits: a required width", "one of the widths", std::to_string(r));
        mask |= std::size_t{1} << (at - widths.begin());
    }
    return mask;
}

}  // namespace detail

// The width of every expert. cost(e, w): of expert e at widths[w]. required: widths that some expert must have.
inline std::vector<int> allocate_bits(matrix_view<const double> cost, const std::vector<int>& widths, index_t budget,
                                      const std::vector<int>& required = {}) {
    detail::check_widths(widths);
    if (cost.cols != static_cast<index_t>(widths.size())) {
        throw_shape("allocate_bits: cost columns", std::to_string(widths.size()), std::to_string(cost.cols));
    }
    detail::check_costs(cost);
    const std::size_t goal = detail::required_mask(widths, required);
    // More than the widest for every expert changes nothing.
    const std::size_t most = std::size_t(std::clamp<index_t>(budget, 0, cost.rows * widths.back()));
    const std::size_t sets = goal + 1, states = (most + 1) * sets;
    constexpr double never = std::numeric_limits<double>::infinity();
    struct choice_of_state {
        std::size_t from = 0, width = 0;
    };
    std::vector<std::vector<choice_of_state>> chosen(std::size_t(cost.rows), std::vector<choice_of_state>(states));
    std::vector<double> least(states, never);
    least[0] = 0;
    for (index_t e = 0; e < cost.rows; ++e) {
        std::vector<double> next(states, never);
        for (std::size_t w = 0; w < widths.size(); ++w) {
            for (std::size_t s = 0; s < states; ++s) {
                const std::size_t used = s / sets + std::size_t(widths[w]);
                if (least[s] == never || used > most) continue;
                const std::size_t to = used * sets + ((s % sets) | ((std::size_t{1} << w) & goal));
                if (!(least[s] + cost(e, index_t(w)) < next[to])) continue;
                next[to] = least[s] + cost(e, index_t(w));
                chosen[std::size_t(e)][to] = {s, w};
            }
        }
        least = std::move(next);
    }
    std::size_t best = goal;
    for (std::size_t s = goal; s < states; s += sets) {
        if (least[s] < least[best]) best = s;
    }
    if (least[best] == never) {
        throw_value("allocate_bits: budget", "bits for every expert and the required widths", std::to_string(budget));
    }
    std::vector<int> bits(std::size_t(cost.rows));
    for (std::size_t e = bits.size(); e-- > 0;) {
        bits[e] = widths[chosen[e][best].width];
        best = chosen[e][best].from;
    }
    return bits;
}

// How much each factor of a cost counts.
struct allocation_exponents {
    double frequency = 1.0, mass = 1.5, damage = 2.0;
};

// Costs [E,W] = f^a m^b damage^c for allocate_bits. count, mass [E]: routes of every expert and the sum of their
// weights (metrics/load.hpp), in MC# before renormalisation; f and m are their shares of the total, 0 of a total of 0.
// damage [E,W]: experts/expert_damage.hpp. With a = b = 0 and c = 2 the costs of a choice sum to the squared error of
// the layer's output, but for what experts of one token have to do with one another. Factors that are negative or not
// finite: value_error. Source: MC# 2025, whose code declares c and raises damage to a.
inline matrix<double> allocation_costs(std::span<const double> count, std::span<const double> mass,
                                       matrix_view<const double> damage, const allocation_exponents& exponents = {}) {
    detail::require_size("allocation_costs: count", count, std::size_t(damage.rows));
    detail::require_size("allocation_costs: mass", mass, std::size_t(damage.rows));
    for (index_t e = 0; e < damage.rows; ++e) {
        detail::check_factor("count", count[std::size_t(e)], e);
        detail::check_factor("mass", mass[std::size_t(e)], e);
        for (index_t w = 0; w < damage.cols; ++w) detail::check_factor("damage", damage(e, w), e);
    }
    const double all_count = std::accumulate(count.begin(), count.end(), 0.0);
    const double all_mass = std::accumulate(mass.begin(), mass.end(), 0.0);
    const auto share = [](double part, double all, double exponent) {
        return std::pow(all == 0 ? 0.0 : part / all, exponent);
    };
    matrix<double> cost(damage.rows, damage.cols);
    for (index_t e = 0; e < damage.rows; ++e) {
        const double use = share(count[std::size_t(e)], all_count, exponents.frequency) *
                           share(mass[std::size_t(e)], all_mass, exponents.mass);
        for (index_t w = 0; w < damage.cols; ++w) cost(e, w) = use * std::pow(damage(e, w), exponents.damage);
    }
    return cost;
}

// Mean of bits weighted by the parameters that have them; 0 of none.
inline double mean_bits(std::span<const int> bits, std::span<const double> parameters) {
    detail::require_size("mean_bits: parameters", parameters, bits.size());
    double sum = 0, all = 0;
    for (std::size_t i = 0; i < bits.size(); ++i) {
        sum += double(bits[i]) * parameters[i];
        all += parameters[i];
    }
    return all == 0 ? 0 : sum / all;
}

// `high` bits for the round(share * E) largest scores, `low` for the rest.
inline std::vector<int> allocate_top(const std::vector<double>& score, double share, int high, int low) {
    if (!(share >= 0 && share <= 1)) throw_value("allocate_top: share", "0 to 1", std::to_string(share));
    for (const double s : score) {
        if (std::isnan(s)) throw_value("allocate_top: score", "a number", "nan");
    }
    std::vector<std::size_t> order(score.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
    std::vector<int> bits(score.size(), low);
    const auto count = static_cast<std::size_t>(std::lround(share * double(score.size())));
    for (std::size_t i = 0; i < count; ++i) bits[order[i]] = high;
    return bits;
}

// max over columns of max |w| / mean |w|; columns of zeros do not count. Source: QuantMoE-Bench.
inline double outlier_score(matrix_view<const float> w) {
    double score = 0;
    for (index_t c = 0; c < w.cols; ++c) {
        double largest = 0, sum = 0;
        for (index_t r = 0; r < w.rows; ++r) {
            largest = std::max(largest, std::abs(double(w(r, c))));
            sum += std::abs(double(w(r, c)));
        }
        if (sum > 0) score = std::max(score, largest * double(w.rows) / sum);
    }
    return score;
}

MOE_END
