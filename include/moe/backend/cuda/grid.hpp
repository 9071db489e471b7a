// backend/cuda: how threads of a grid are numbered, and what groups of rows look like to them
// SPDX-License-Identifier: Apache-2.0
//
// A kernel body is an object that holds the arguments; its call operator is the work of one thread, a plain function of
// (block, thread, arguments) that compiles on the host as well, where tests run it over the whole grid. Threads share
// nothing and use no atomics: each element of a result is written by one thread, which adds its terms in ascending
// order. So the order in which threads run changes no bit.
#pragma once

#include "moe/backend/kernels.hpp"

MOE_BEGIN

namespace detail {

inline constexpr index_t threads_per_block = 256;

MOE_FN inline std::int64_t number_of(index_t block, index_t thread) {
    return std::int64_t{block} * threads_per_block + thread;
}

// The element of a [rows, cols] grid that a thread works on; the last block reaches beyond it.
struct grid_element {
    index_t row, col;
    bool exists;
};

MOE_FN inline grid_element element_of(index_t block, index_t thread, index_t rows, index_t cols) {
    const std::int64_t i = number_of(block, thread);
    if (i >= std::int64_t{rows} * cols) return {0, 0, false};
    return {static_cast<index_t>(i / cols), static_cast<index_t>(i % cols), true};
}

// row_groups with everything in device memory.
struct device_groups {
    const index_t* offset = nullptr;  // [G+1]
    const index_t* gather = nullptr;  // null: row r reads row r
    index_t groups = 0;
    index_t first = 0;  // first row of all
    index_t rows = 0;

    MOE_FN index_t source(index_t r) const { return gather == nullptr ? r : gather[r]; }

    // The group of row r: the last whose offset is at most r, so that groups without rows are passed over.
    MOE_FN index_t group_of(index_t r) const {
        index_t low = 0;
        index_t high = groups;
        while (high - low > 1) {
            const index_t middle = low + (high - low) / 2;
            if (offset[middle] <= r) low = middle;
            else high = middle;
        }
        return low;
    }
};

}  // namespace detail

MOE_END
