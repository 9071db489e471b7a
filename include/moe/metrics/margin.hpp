// metrics/margin: keys of a routing -> how far pick k is ahead of pick k+1
// SPDX-License-Identifier: Apache-2.0
//
//     margin[t] = k-th largest key of token t - (k+1)-th largest
//
// A small margin is a near tie: another rounding of the logits, another device or one training step may change the
// choice. A token with fewer than k+1 keys that may be chosen has no rival and margin +infinity; NaN keys rank last and
// make the margins they take part in NaN. Masked tokens get NaN and are left out of the summary.
// errors        k below 1
// cost          O(T E k); the summary allocates
#pragma once

#include <algorithm>
#include <vector>

#include "moe/core/order.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

struct margin_summary {
    double smallest = 0.0;
    double median = 0.0;
    double mean = 0.0;       // of the finite ones
    index_t near_ties = 0;   // tokens with a margin of at most `limit`
    index_t tokens = 0;      // live tokens with a margin that is no NaN
};

// margin [T] of every token.
template <class T>
std::vector<double> margins(const routing<T>& s, index_t k) {
    if (k < 1) throw_value("margins: k", "at least 1", std::to_string(k));
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    std::vector<double> result(static_cast<std::size_t>(s.tokens()), nan);
    std::vector<index_t> best(static_cast<std::size_t>(k) + 1);
    for (index_t t = 0; t < s.tokens(); ++t) {
        if (!s.in().live(t)) continue;
        const T* key = s.keys.row(t);
        best_of_row(key, s.keys.cols, best.data(), k + 1);
        const index_t last = best[static_cast<std::size_t>(k) - 1];
        const index_t rival = best[static_cast<std::size_t>(k)];
        result[static_cast<std::size_t>(t)] = rival < 0
                                                  ? std::numeric_limits<double>::infinity()
                                                  : static_cast<double>(key[last]) - static_cast<double>(key[rival]);
    }
    return result;
}

template <class T>
margin_summary summarize_margins(const routing<T>& s, index_t k, double limit = 1e-6) {
    std::vector<double> all = margins(s, k);
    all.erase(std::remove_if(all.begin(), all.end(), [](double m) { return m != m; }), all.end());
    margin_summary result;
    result.tokens = static_cast<index_t>(all.size());
    if (all.empty()) return result;
    std::sort(all.begin(), all.end());
    result.smallest = all.front();
    result.median = all[(all.size() - 1) / 2];
    double sum = 0.0;
    double finite = 0.0;
    for (const double m : all) {
        result.near_ties += m <= limit ? 1 : 0;
        if (m == std::numeric_limits<double>::infinity()) continue;
        sum += m;
        finite += 1.0;
    }
    result.mean = finite > 0.0 ? sum / finite : std::numeric_limits<double>::infinity();
    return result;
}

MOE_END
