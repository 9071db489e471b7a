// metrics/unique_experts: trace -> how many different experts a block of neighbouring tokens uses
// SPDX-License-Identifier: Apache-2.0
//
//     mean     mean over blocks of |union of the experts of its tokens|       largest   over the blocks
//     sparsity 1 - mean / E: the share of experts that a whole block leaves alone (BlockFFN's chunk-level sparsity)
//
// Blocks have `block` tokens, do not cross sequences; the last of a sequence may be shorter. Source: dMoE, dynamic expert
// sharing, BlockFFN: what has to be loaded for a block. No token: 0.
// errors        a block below 1
#pragma once

#include <algorithm>
#include <vector>

#include "moe/metrics/trace.hpp"

MOE_BEGIN

struct block_experts {
    double mean = 0.0;
    index_t largest = 0;
    index_t blocks = 0;
    double sparsity = 0.0;
};

inline block_experts unique_experts(const route_trace& trace, index_t block) {
    detail::require_window("unique_experts: block", block);
    block_experts result;
    std::vector<index_t> seen_in(static_cast<std::size_t>(trace.experts), -1);
    double sum = 0.0;
    for (index_t s = 0; s < trace.sequences(); ++s) {
        for (index_t first = trace.begin(s); first < trace.end(s); first += std::min(block, trace.end(s) - first)) {
            index_t unique = 0;
            for (index_t t = first; t < trace.end(s) && t - first < block; ++t) {
                for (const index_t e : trace.of(t)) {
                    if (e < 0 || seen_in[static_cast<std::size_t>(e)] == result.blocks) continue;
                    seen_in[static_cast<std::size_t>(e)] = result.blocks;
                    ++unique;
                }
            }
            ++result.blocks;
            sum += unique;
            result.largest = std::max(result.largest, unique);
        }
    }
    if (result.blocks > 0) result.mean = sum / result.blocks;
    if (result.blocks > 0 && trace.experts > 0) result.sparsity = 1.0 - result.mean / trace.experts;
    return result;
}

MOE_END
