// metrics/routing_consistency: trace -> how well few experts serve neighbouring tokens (SRP and SCH)
// SPDX-License-Identifier: Apache-2.0
//
// segment_routing_performance(trace, m): over all windows of m neighbouring tokens (stride 1), c[s][e] = uses of e in
// window s. For every threshold t = 0..m predict e for window s where c >= t; matches = sum of c over predicted,
//
//     F1_t = 2 matches / max(m * predicted + sum of all c, 1),    SRP = max over t of F1_t
//
// segment_cache_hits(trace, L, C): hits of a cache of C experts that evicts the one with the fewest uses in the coming L
// tokens (this token included, uses already served excluded), of equals the least recently used. An expert seen before
// is a hit where it is resident when its token starts; the first use of an expert is a hit while fewer than C experts
// have been seen. A token's experts come in after it is counted, in slot order.
//
// Source: local routing consistency (Liang et al. 2025), SCH as restated and checked against the authors' function.
// Windows and caches do not cross sequences. A window longer than its sequence is left out; without any, SRP is 0.
// errors        m, L or C below 1
// cost          O(T E) and O(slots C); both allocate
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "moe/metrics/trace.hpp"

MOE_BEGIN

struct routing_performance {
    double srp = 0.0;        // the best F1
    index_t threshold = 0;   // where it is reached first
    double predicted = 0.0;  // predicted uses / uses there: the cache that is needed, in units of the active experts
};

struct cache_hits {
    std::int64_t hits = 0;
    std::int64_t uses = 0;
    double rate() const { return uses == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(uses); }
};

namespace detail {

// How often each count 0..m occurs over windows and experts.
inline std::vector<double> window_counts(const route_trace& trace, index_t m) {
    std::vector<double> histogram(static_cast<std::size_t>(m) + 1, 0.0);
    std::vector<index_t> count(static_cast<std::size_t>(trace.experts), 0);
    const auto change = [&](index_t token, index_t by) {
        for (const index_t e : trace.of(token)) {
            if (e >= 0) count[static_cast<std::size_t>(e)] += by;
        }
    };
    for (index_t s = 0; s < trace.sequences(); ++s) {
        std::fill(count.begin(), count.end(), 0);
        for (index_t t = trace.begin(s); t < trace.end(s); ++t) {
            change(t, 1);
            if (t - trace.begin(s) >= m) change(t - m, -1);
            if (t - trace.begin(s) + 1 < m) continue;
            for (const index_t c : count) histogram[static_cast<std::size_t>(c)] += 1.0;
        }
    }
    return histogram;
}

// The cache of one sequence.
class foreseeing_cache {
public:
    foreseeing_cache(index_t experts, index_t capacity)
        : capacity_(capacity), uses_(std::size_t(experts), 0), last_(std::size_t(experts), -1),
          state_(std::size_t(experts), state::unseen) {}

    void foresee(std::span<const index_t> token) {
        for (const index_t e : token) {
            if (e >= 0) ++uses_[std::size_t(e)];
        }
    }

    void serve(std::span<const index_t> token, index_t now, cache_hits& result) {
        for (const index_t e : token) {
            if (e < 0) continue;
            ++result.uses;
            const state was = state_[std::size_t(e)];
            if (was == state::resident || (was == state::unseen && seen_ < capacity_)) ++result.hits;
            if (was == state::unseen) ++seen_;
            if (was == state::unseen) state_[std::size_t(e)] = state::absent;
        }
        for (const index_t e : token) {
            if (e >= 0) admit(e, now);
        }
    }

private:
    enum class state : std::uint8_t { unseen, absent, resident };

    void admit(index_t e, index_t now) {
        --uses_[std::size_t(e)];
        last_[std::size_t(e)] = now;
        if (state_[std::size_t(e)] == state::resident) return;
        if (resident_.size() == std::size_t(capacity_)) evict();
        state_[std::size_t(e)] = state::resident;
        resident_.push_back(e);
    }

    void evict() {
        const auto worse = [&](index_t a, index_t b) {
            const std::size_t i = std::size_t(a), j = std::size_t(b);
            return uses_[i] != uses_[j] ? uses_[i] < uses_[j] : last_[i] < last_[j];
        };
        const auto out = std::min_element(resident_.begin(), resident_.end(), worse);
        state_[std::size_t(*out)] = state::absent;
        resident_.erase(out);
    }

    index_t capacity_;
    index_t seen_ = 0;
    std::vector<index_t> uses_;  // in the coming tokens
    std::vector<index_t> last_;  // token of the last use
    std::vector<state> state_;
    std::vector<index_t> resident_;
};

}  // namespace detail

inline routing_performance segment_routing_performance(const route_trace& trace, index_t window) {
    detail::require_window("segment_routing_performance: window", window);
    const std::vector<double> histogram = detail::window_counts(trace, window);
    double activations = 0.0;
    for (std::size_t c = 0; c < histogram.size(); ++c) activations += static_cast<double>(c) * histogram[c];
    std::vector<double> f1(histogram.size()), share(histogram.size());
    double predicted = 0.0;
    double matches = 0.0;
    for (std::size_t t = histogram.size(); t-- > 0;) {
        predicted += static_cast<double>(window) * histogram[t];
        matches += static_cast<double>(t) * histogram[t];
        f1[t] = 2.0 * matches / std::max(predicted + activations, 1.0);
        share[t] = activations > 0.0 ? predicted / activations : 0.0;
    }
    const auto best = std::max_element(f1.begin(), f1.end());
    const std::size_t at = static_cast<std::size_t>(best - f1.begin());
    return {*best, static_cast<index_t>(at), share[at]};
}

inline cache_hits segment_cache_hits(const route_trace& trace, index_t lookahead, index_t capacity) {
    detail::require_window("segment_cache_hits: lookahead", lookahead);
    detail::require_window("segment_cache_hits: capacity", capacity);
    cache_hits result;
    for (index_t s = 0; s < trace.sequences(); ++s) {
        detail::foreseeing_cache cache(trace.experts, capacity);
        index_t seen = trace.begin(s);
        for (index_t t = trace.begin(s); t < trace.end(s); ++t) {
            for (; seen < trace.end(s) && seen - t < lookahead; ++seen) cache.foresee(trace.of(seen));
            cache.serve(trace.of(t), t, result);
        }
    }
    return result;
}

MOE_END
