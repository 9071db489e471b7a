// testing/random: reproducible inputs for tests
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/rng.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN
namespace testing {

// Standard normal entries times `scale`; a pure function of the seed, the same for every scalar type up to rounding.
template <class T>
matrix<T> random_matrix(index_t rows, index_t cols, std::uint64_t seed, double scale = 1.0) {
    const random_stream random(seed, stream_id("testing.random_matrix"));
    matrix<T> m(rows, cols);
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < cols; ++j) {
            m(i, j) = static_cast<T>(scale * random.normal(std::uint64_t(i), std::uint32_t(j)));
        }
    }
    return m;
}

}  // namespace testing
MOE_END
