// metrics/load: plan and routing -> how evenly tokens are spread over the experts
// SPDX-License-Identifier: Apache-2.0
//
//     count[e]       routes of expert e                      mass[e]      sum of their weights
//     max_over_mean  max count / mean count                  deviation()  max / mean - 1 and min / mean - 1
//     cv             standard deviation / mean of the counts (population)
//     entropy        -sum f ln f, f = count / total; ln E when even          effective  exp(entropy)
//     dead           experts without a route                 dropped      slots of live tokens that hold no expert
//
// Sums over every plan that was added since the last clear; nothing is counted behind the caller's back. With no route at
// all: max_over_mean and cv are 0, entropy is 0, every expert is dead. Masked tokens have no routes and no slots here.
// memory        two arrays [E], allocated when constructed; add and clear allocate nothing
#pragma once

#include <cmath>

#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

class load_stats {
public:
    explicit load_stats(index_t experts) {
        if (experts < 1) throw_value("load_stats: experts", "at least 1", std::to_string(experts));
        count_ = buffer<double>(static_cast<std::size_t>(experts));
        mass_ = buffer<double>(static_cast<std::size_t>(experts));
    }

    template <class T>
    load_stats(const plan_view& plan, const routing<T>& s) : load_stats(plan.experts()) {
        add(plan, s);
    }

    template <class T>
    void add(const plan_view& plan, const routing<T>& s) {
        if (plan.experts() != experts()) {
            throw_shape("load_stats: plan", std::string("[") + std::to_string(experts()) + "] experts",
                        std::string("[") + std::to_string(plan.experts()) + "]");
        }
        for (index_t e = 0; e < experts(); ++e) {
            const std::size_t i = static_cast<std::size_t>(e);
            count_[i] += plan.count(e);
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                mass_[i] += static_cast<double>(s.routes.weight[std::size_t(plan.slot[std::size_t(r)])]);
            }
        }
        routes_ += plan.rows();
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (!s.in().live(t)) continue;
            tokens_ += 1.0;
            slots_ += s.routes.end(t) - s.routes.begin(t);
        }
    }

    void clear() {
        std::fill(count_.data(), count_.data() + count_.size(), 0.0);
        std::fill(mass_.data(), mass_.data() + mass_.size(), 0.0);
        routes_ = tokens_ = slots_ = 0.0;
    }

    index_t experts() const { return static_cast<index_t>(count_.size()); }
    std::span<const double> count() const { return count_.span(); }
    std::span<const double> mass() const { return mass_.span(); }
    double routes() const { return routes_; }
    double tokens() const { return tokens_; }
    // Share of the tokens that have a route to the expert.
    double frequency(index_t expert) const {
        return tokens_ > 0.0 ? count_[static_cast<std::size_t>(expert)] / tokens_ : 0.0;
    }
    double dropped() const { return slots_ - routes_; }
    double dropped_share() const { return slots_ > 0.0 ? dropped() / slots_ : 0.0; }
    double experts_per_token() const { return tokens_ > 0.0 ? routes_ / tokens_ : 0.0; }

    double max_over_mean() const { return over_mean(*std::max_element(count_.data(), count_.data() + count_.size())); }
    double min_over_mean() const { return over_mean(*std::min_element(count_.data(), count_.data() + count_.size())); }
    // How far the busiest and the idlest expert are from an even load: 0 both when even, -1 for a dead expert.
    double max_violation() const { return routes_ > 0.0 ? max_over_mean() - 1.0 : 0.0; }
    double min_violation() const { return routes_ > 0.0 ? min_over_mean() - 1.0 : 0.0; }
    // Mean over the experts of |count / mean - 1|.
    double mean_violation() const {
        if (!(routes_ > 0.0)) return 0.0;
        double sum = 0.0;
        for (const double n : count()) sum += std::abs(over_mean(n) - 1.0);
        return sum / experts();
    }
    double cv() const {
        if (!(routes_ > 0.0)) return 0.0;
        double sum = 0.0;
        for (const double n : count()) sum += (over_mean(n) - 1.0) * (over_mean(n) - 1.0);
        return std::sqrt(sum / experts());
    }
    double entropy() const {
        double sum = 0.0;
        for (const double n : count()) {
            if (n > 0.0) sum -= n / routes_ * std::log(n / routes_);
        }
        return sum;
    }
    // As many experts, evenly loaded, would have this entropy.
    double effective() const { return routes_ > 0.0 ? std::exp(entropy()) : 0.0; }
    // Jain's index, 1 when even, 1 / E when one expert has everything.
    double fairness() const { return routes_ > 0.0 ? 1.0 / (1.0 + cv() * cv()) : 0.0; }
    index_t dead() const {
        index_t n = 0;
        for (const double c : count()) n += c == 0.0 ? 1 : 0;
        return n;
    }

private:
    double over_mean(double n) const { return routes_ > 0.0 ? n * experts() / routes_ : 0.0; }

    buffer<double> count_, mass_;
    double routes_ = 0.0;
    double tokens_ = 0.0;
    double slots_ = 0.0;
};

MOE_END
