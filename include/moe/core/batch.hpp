// core/batch: everything that reaches a router's step from outside
// SPDX-License-Identifier: Apache-2.0
//
// All members are views, all but x are optional. A step that needs one of them says so (`needs`), and the router checks
// that it is there and has the right length before any work. What a tape records are these views: x, mask, labels and
// the rest must outlive `backward`. They lie in the memory of the backend of the call, but for `sequence` and the
// recorded choice, which are read to be checked and always lie in the host's.
#pragma once

#include "moe/core/view.hpp"

MOE_BEGIN

template <class T>
struct batch {
    matrix_view<const T> x;                   // [T,D] what the experts see
    matrix_view<const T> features;            // [T,F] what the gate sees; empty: x
    std::span<const std::uint8_t> mask;       // [T] 0 = padding: no slot, no loss, no statistics, output 0; empty: all live
    std::span<const index_t> sequence;        // [S+1] first token of every sequence, then T; empty: one sequence
    std::span<const index_t> token_id;        // [T] vocabulary ids
    std::span<const index_t> label;           // [T] modality, task or class
    std::span<const index_t> replay_offset;   // [T+1] with replay_expert: a recorded choice, the selector is skipped
    std::span<const index_t> replay_expert;   // [slots] -1 = unused
    matrix_view<const T> side;                // [T,*] side features of a user's step
    matrix_view<const T> state;               // [T,P] router state left by the previous layer
    matrix_view<T> next_state;                // [T,P] router state for the next layer
    index_t k = 0;                            // routes per token for this call; 0: the selector's own
    std::uint64_t first_token = 0;            // global number of token 0: random numbers depend on it
    std::uint64_t step = 0;                   // training step, for noise and schedules
    std::uint64_t seed = 0;
    bool training = false;                    // noise and other training-only steps are on
    bool causal = false;                      // refuse steps that let a token see later ones

    index_t tokens() const { return x.rows; }
    MOE_FN bool live(index_t token) const { return mask.empty() || mask[static_cast<std::size_t>(token)] != 0; }

    index_t sequences() const { return sequence.empty() ? 1 : static_cast<index_t>(sequence.size()) - 1; }
    index_t sequence_begin(index_t s) const { return sequence.empty() ? 0 : sequence[static_cast<std::size_t>(s)]; }
    index_t sequence_end(index_t s) const {
        return sequence.empty() ? tokens() : sequence[static_cast<std::size_t>(s) + 1];
    }
};

// What a step asks of the batch; combined with | in its `static constexpr unsigned needs`.
enum batch_need : unsigned {
    needs_mask = 1,
    needs_sequence = 2,
    needs_token_id = 4,
    needs_label = 8,
    needs_features = 16,
    needs_side = 32,
    needs_state = 64,
    needs_next_state = 128,
};

namespace detail {

inline void check_sequence(std::span<const index_t> sequence, index_t tokens) {
    if (sequence.empty()) return;
    if (sequence.front() != 0) throw_value("batch.sequence[0]", "0", std::to_string(sequence.front()));
    for (std::size_t i = 1; i < sequence.size(); ++i) {
        if (sequence[i] >= sequence[i - 1]) continue;
        throw_value(std::string("batch.sequence[") + std::to_string(i) + "]",
                    std::string("at least ") + std::to_string(sequence[i - 1]), std::to_string(sequence[i]));
    }
    if (sequence.back() != tokens) {
        throw_value("the last of batch.sequence", std::to_string(tokens), std::to_string(sequence.back()));
    }
}

// Shapes of everything in a batch; `in.features` is already filled in. Throws, changes nothing.
template <class T>
void check_batch(const batch<T>& in, index_t features) {
    const index_t tokens = in.tokens();
    if (tokens < 0 || in.x.cols < 0) throw_shape("x", "sizes of at least 0", shape_text(in.x));
    if (in.features.rows != tokens || in.features.cols != features) {
        const char* name = in.features.data == in.x.data ? "x" : "batch.features";
        require_shape(name, in.features, tokens, features);
    }
    const std::size_t n = static_cast<std::size_t>(tokens);
    if (!in.mask.empty()) require_size("batch.mask", in.mask, n);
    if (!in.token_id.empty()) require_size("batch.token_id", in.token_id, n);
    if (!in.label.empty()) require_size("batch.label", in.label, n);
    if (in.side.data != nullptr) require_shape("batch.side", in.side, tokens, in.side.cols);
    if (in.state.data != nullptr) require_shape("batch.state", in.state, tokens, in.state.cols);
    if (in.next_state.data != nullptr) require_shape("batch.next_state", in.next_state, tokens, in.next_state.cols);
    if (in.k < 0) throw_value("batch.k", "at least 0 (0: the selector's own)", std::to_string(in.k));
    check_sequence(in.sequence, tokens);
}

// The name of the first thing a step needs and the batch lacks; nullptr if nothing is missing.
template <class T>
const char* missing_need(const batch<T>& in, unsigned needs) {
    if ((needs & needs_mask) != 0 && in.mask.empty() && in.tokens() > 0) return "batch.mask [T]";
    if ((needs & needs_sequence) != 0 && in.sequence.empty()) return "batch.sequence [S+1]";
    if ((needs & needs_token_id) != 0 && in.token_id.empty() && in.tokens() > 0) return "batch.token_id [T]";
    if ((needs & needs_label) != 0 && in.label.empty() && in.tokens() > 0) return "batch.label [T]";
    if ((needs & needs_side) != 0 && in.side.data == nullptr && in.tokens() > 0) return "batch.side [T,*]";
    if ((needs & needs_state) != 0 && in.state.data == nullptr && in.tokens() > 0) return "batch.state [T,P]";
    if ((needs & needs_next_state) != 0 && in.next_state.data == nullptr && in.tokens() > 0) {
        return "batch.next_state [T,P]";
    }
    return nullptr;
}

}  // namespace detail

MOE_END
