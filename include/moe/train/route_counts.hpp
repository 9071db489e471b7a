// train/route_counts: plans -> routes per expert, summed over micro-batches or sent by other ranks
// SPDX-License-Identifier: Apache-2.0
//
//     count[e] += rows of expert e        slots += slots of live tokens        tokens += live tokens
//
// Source: "Demons in the Detail" (global-batch load balancing): loads are counted over the global batch before a loss or a
// controller sees them. A dropped route is in `slots` and in no `count`. Carries no gradient.
// memory        [E] doubles, allocated when constructed; add and clear allocate nothing
#pragma once

#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

// How many routes every expert has, and out of how many: what a loss or a controller takes instead of its own counts.
struct expert_load {
    std::span<const double> count;  // [E]
    double slots = 0.0;             // K for every live token where K is fixed
    double tokens = 0.0;            // live tokens
};

class route_counts {
public:
    explicit route_counts(index_t experts) {
        if (experts < 1) throw_value("route_counts: experts", "at least 1", std::to_string(experts));
        count_ = buffer<double>(static_cast<std::size_t>(experts));
    }

    template <class T>
    void add(const plan_view& plan, const routing<T>& s) {
        const index_t experts = plan.experts() - s.appended;
        if (experts != static_cast<index_t>(count_.size())) {
            throw_shape("route_counts: plan", std::string("[") + std::to_string(count_.size()) + "] experts",
                        std::string("[") + std::to_string(experts) + "]");
        }
        for (index_t e = 0; e < experts; ++e) count_[std::size_t(e)] += plan.count(e);
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (!s.in().live(t)) continue;
            tokens_ += 1.0;
            slots_ += s.routes.end(t) - s.routes.begin(t);
        }
    }

    // Counts of another rank, or of the previous step.
    void add(const expert_load& other) {
        detail::require_size("route_counts: counts", other.count, count_.size());
        for (std::size_t e = 0; e < count_.size(); ++e) count_[e] += other.count[e];
        slots_ += other.slots;
        tokens_ += other.tokens;
    }

    void clear() {
        std::fill(count_.data(), count_.data() + count_.size(), 0.0);
        slots_ = tokens_ = 0.0;
    }

    expert_load load() const { return {count_.span(), slots_, tokens_}; }

private:
    buffer<double> count_;
    double slots_ = 0.0;
    double tokens_ = 0.0;
};

MOE_END
