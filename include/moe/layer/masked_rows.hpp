// layer/masked_rows: masked tokens have no effect, whatever their rows hold
// SPDX-License-Identifier: Apache-2.0
//
// A zero gradient alone does not keep a NaN of padding out of a weight: 0 * NaN is NaN. So the router hands its steps
// zeros in the rows of masked tokens, of features, state, logits and scores, and takes zeros for them on the way back.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/batch.hpp"

MOE_BEGIN
namespace detail {

template <class B, class T>
void clear_masked_rows(B& b, std::span<const std::uint8_t> mask, matrix_view<T> m) {
    if (mask.empty() || m.data == nullptr) return;
    kernels_of<B>::for_rows(b, m.rows, [=] MOE_ROW(index_t t) {
        if (mask[std::size_t(t)] != 0) return;
        for (index_t j = 0; j < m.cols; ++j) m(t, j) = T(0);
    });
}

// The batch as the router's steps see it; copies live in `memory`. x is copied where it is what the gate sees.
template <class B, class T>
batch<T> with_masked_rows_cleared(B& b, batch<T> in, arena& memory) {
    const auto cleared = [&](matrix_view<const T> m) {
        const matrix_view<T> copy = memory.take<T>(m.rows, m.cols);
        kernels_of<B>::copy(b, m, copy);
        clear_masked_rows(b, in.mask, copy);
        return matrix_view<const T>(copy);
    };
    const bool same = in.features.data == in.x.data;
    in.features = cleared(in.features);
    if (same) in.x = in.features;
    if (in.state.data != nullptr) in.state = cleared(in.state);
    return in;
}

}  // namespace detail
MOE_END
