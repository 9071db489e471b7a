// layer/slots: what a router does to the slots between its steps, as row programs over tokens
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

namespace detail {

template <class U>
matrix_view<U> as_row(std::span<U> s) {
    return {s.data(), 1, static_cast<index_t>(s.size())};
}

// offset[t] = t * width
template <class B>
void fill_offsets(B& b, std::span<index_t> offset, index_t width) {
    kernels_of<B>::for_rows(b, static_cast<index_t>(offset.size()),
                            [=] MOE_ROW(index_t t) { offset[std::size_t(t)] = t * width; });
}

template <class B, class T>
void empty_masked_tokens(B& b, std::span<const std::uint8_t> mask, const routes_view<T>& slots) {
    const std::span<const index_t> offset = slots.offset;
    const std::span<index_t> expert = slots.expert;
    kernels_of<B>::for_rows(b, static_cast<index_t>(mask.size()), [=] MOE_ROW(index_t t) {
        if (mask[std::size_t(t)] != 0) return;
        for (index_t s = offset[std::size_t(t)]; s < offset[std::size_t(t) + 1]; ++s) expert[std::size_t(s)] = -1;
    });
}

template <class B, class T>
void gather_weights(B& b, const routes_view<T>& slots, matrix_view<const T> scores) {
    kernels_of<B>::for_rows(b, scores.rows, [=] MOE_ROW(index_t t) {
        for (index_t s = slots.offset[std::size_t(t)]; s < slots.offset[std::size_t(t) + 1]; ++s) {
            const index_t e = slots.expert[std::size_t(s)];
            slots.weight[std::size_t(s)] = e < 0 ? T(0) : scores(t, e);
        }
    });
}

// The adjoint of gathering weights from scores; a token's experts are distinct, so rows do not collide.
template <class B, class T>
void scatter_to_scores(B& b, const routes<T>& r, const adjoint<T>& d) {
    const matrix_view<T> d_scores = d.scores;
    const std::span<const T> d_weight = d.weight;
    kernels_of<B>::for_rows(b, d_scores.rows, [=] MOE_ROW(index_t t) {
        for (index_t s = r.begin(t); s < r.end(t); ++s) {
            const index_t e = r.expert[std::size_t(s)];
            if (e >= 0) d_scores(t, e) += d_weight[std::size_t(s)];
        }
    });
}

// Weights, or their gradients, of slots without an expert become 0.
template <class B, class T>
void clear_dead(B& b, std::span<const index_t> offset, std::span<const index_t> expert, std::span<T> weight) {
    kernels_of<B>::for_rows(b, static_cast<index_t>(offset.size()) - 1, [=] MOE_ROW(index_t t) {
        for (index_t s = offset[std::size_t(t)]; s < offset[std::size_t(t) + 1]; ++s) {
            if (expert[std::size_t(s)] < 0) weight[std::size_t(s)] = T(0);
        }
    });
}

}  // namespace detail

MOE_END
