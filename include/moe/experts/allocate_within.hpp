// experts/allocate_within: as many experts in few bits as a measured loss allows
// SPDX-License-Identifier: Apache-2.0
//
//     K = the largest number with loss(the K least sensitive experts in `low` bits, the others in `high`) <= limit
//
//     moe::allocate_within(sensitivity, 0.02, 8, 4, [&](const std::vector<int>& bits) { return loss_of(bits); })
//
// sensitivity [E] is what the loss rises by where that expert alone is low, such as expert_damage. K is found by
// bisection, which takes the loss to rise with K; whether it does or not, the loss of the answer has been measured and
// is within the limit. Source: EdgeMoE 2023.
// ties          experts of the same sensitivity are lowered in order of their ids
// errors        NaN sensitivities or limit, a loss that is NaN or above the limit with every expert high: value_error
// cost          log2 E + 2 calls of loss at most
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "moe/core/error.hpp"

MOE_BEGIN

struct allocation_within {
    std::vector<int> bits;    // [E]
    std::size_t lowered = 0;  // K
    double loss = 0;          // as measured with these bits
};

template <class Loss>
allocation_within allocate_within(const std::vector<double>& sensitivity, double limit, int high, int low,
                                  const Loss& loss) {
    if (std::isnan(limit)) throw_value("allocate_within: limit", "a number", "nan");
    for (const double s : sensitivity) {
        if (std::isnan(s)) throw_value("allocate_within: sensitivity", "a number", "nan");
    }
    std::vector<std::size_t> order(sensitivity.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return sensitivity[a] < sensitivity[b]; });
    const auto measured = [&](std::size_t lowered) {
        allocation_within to{std::vector<int>(order.size(), high), lowered, 0};
        for (std::size_t i = 0; i < lowered; ++i) to.bits[order[i]] = low;
        to.loss = double(loss(std::as_const(to.bits)));
        return to;
    };
    allocation_within best = measured(0);
    if (!(best.loss <= limit)) {
        throw_value("allocate_within: limit",
                    std::string("at least the loss of high bits, ") + std::to_string(best.loss), std::to_string(limit));
    }
    std::size_t most = order.size();
    while (best.lowered < most) {
        const std::size_t middle = most - (most - best.lowered) / 2;
        allocation_within next = measured(middle);
        if (next.loss <= limit) best = std::move(next);
        else most = middle - 1;
    }
    return best;
}

MOE_END
