// core/routes: choice and routes, ragged by token; routing, what a step sees; adjoint, what its backward changes
// SPDX-License-Identifier: Apache-2.0
//
// The slots of token t are offset[t] .. offset[t+1], in slot order. A slot holds an expert and a weight; expert -1 means
// the slot is empty or dropped, and its weight is 0. A weight of 0 does not make a route dead. A (token, expert) pair
// occurs at most once. A fixed K has offset[t] = t * K.
#pragma once

#include "moe/core/arena.hpp"
#include "moe/core/batch.hpp"

MOE_BEGIN

// What a selector of fixed width, and a route step that drops, write: the expert of every slot.
struct choice {
    std::span<const index_t> offset;  // [T+1]
    std::span<index_t> expert;        // [slots]
};

// What a selector that decides how many routes a token gets writes: offsets, and experts up to offset[T].
struct ragged_choice {
    std::span<index_t> offset;  // [T+1]
    std::span<index_t> expert;  // [max_routes]
};

// What a route step that moves routes writes: experts and their weights.
template <class T>
struct routes_view {
    std::span<const index_t> offset;  // [T+1]
    std::span<index_t> expert;        // [slots]
    std::span<T> weight;              // [slots]
};

template <class T>
struct routes {
    std::span<const index_t> offset;  // [T+1]
    std::span<const index_t> expert;  // [slots]
    std::span<const T> weight;        // [slots]
    index_t per_token = 0;            // K where every token has K slots, else 0

    index_t slots() const { return static_cast<index_t>(expert.size()); }
    MOE_FN index_t begin(index_t token) const { return offset[static_cast<std::size_t>(token)]; }
    MOE_FN index_t end(index_t token) const { return offset[static_cast<std::size_t>(token) + 1]; }
    matrix_view<const index_t> expert_matrix() const { return {expert.data(), rows(), per_token}; }
    matrix_view<const T> weight_matrix() const { return {weight.data(), rows(), per_token}; }

private:
    index_t rows() const { return per_token == 0 ? 0 : slots() / per_token; }
};

// All that is known so far, as a step sees it. What the step writes is its last argument and is empty here.
template <class T>
struct routing {
    const batch<T>* batch_of_call = nullptr;
    index_t experts = 0;             // ids lie in [0, experts); product keys have fewer columns than experts
    matrix_view<const T> logits;     // [T, columns]
    matrix_view<const T> scores;     // [T, columns]
    matrix_view<const T> keys;       // [T, columns] the scores until the first key step
    moe::routes<T> routes;
    moe::routes<T> selected;         // the routes as the selector left them; only while recording, else empty
    arena* memory = nullptr;         // what is taken here lives as long as the record of this call
    bool recording = false;          // a backward will follow: what only it needs is worth keeping
    index_t appended = 0;            // of the experts, the last ones, which route steps have appended

    const batch<T>& in() const { return *batch_of_call; }
    index_t tokens() const { return in().tokens(); }
};

// dL/d(name). Losses and backward steps add; a score step turns `scores` in place, a route step `weight`.
template <class T>
struct adjoint {
    matrix_view<T> x;            // [T,D]
    matrix_view<T> features;     // [T,F] the same memory as x where the gate sees x
    matrix_view<T> logits;       // [T, columns]
    matrix_view<T> scores;       // [T, columns]
    std::span<T> weight;         // [slots]
    matrix_view<T> state;        // [T,P] handed to the previous layer
    matrix_view<T> next_state;   // [T,P] received from the next layer
};

MOE_END
