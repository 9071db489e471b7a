// examples/support/mixture: a router chosen by name -> a mixture-of-experts layer, what balances it, what steers it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "moe/backend/cpu.hpp"
#include "moe/layer/any_layer.hpp"
#include "router_kind.hpp"

namespace example {

using ffn_layer = moe::any_layer<float>;

struct mixture_options {
    router_kind router = router_kind::topk;
    moe::index_t features = 0;
    moe::index_t experts = 0;
    moe::index_t k = 0;       // experts per token
    moe::index_t hidden = 0;  // of one expert
    moe::index_t shared = 0;  // experts that see every token
    double aux = 0;           // coefficient of the load-balance loss
    std::uint64_t seed = 0;
};

struct mixture {
    ffn_layer layer;
    // The router's loss, its gradient left in the tape; empty without one.
    std::function<double(moe::cpu&, moe::tape<float>&)> balance_loss;
    // What a training step's routing does to the router, called between forward and backward; may be empty.
    std::function<void(moe::cpu&, ffn_layer&, const moe::tape<float>&)> after_step;
};

// SwiGLU experts behind
//   topk            softmax, top_k, renormalize
//   topp            softmax, top_p (0.6), renormalize: k is not used
//   expert_choice   softmax, expert_choice of k * tokens / experts per expert
//   null            softmax over twice as many experts, the second half null; top_k of 2k
//   sigmoid_bias    sigmoid, selection_bias steered by sign_bias, top_k, renormalize
//   threshold       sigmoid, threshold steered by ema_threshold to k experts per token, at least one; renormalize
mixture make_mixture(const mixture_options& o);

// One expert that sees every token.
ffn_layer make_dense(moe::index_t features, moe::index_t hidden, std::uint64_t seed);

}  // namespace example
