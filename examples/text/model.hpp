// examples/text/model: characters -> logits [T,C] of the character behind each, without a look at later ones
// SPDX-License-Identifier: Apache-2.0
//
//     h0     = convolution(embedding(character))     over the last `context` characters
//     h1     = h0 + moe_1(norm_1(h0))                two mixtures of experts, batch.causal is set
//     h2     = h1 + moe_2(norm_2(h1))
//     logits = head(norm_3(h2))
#pragma once

#include <array>

#include "convolution.hpp"
#include "dropout.hpp"
#include "embedding.hpp"
#include "options.hpp"
#include "rms_norm.hpp"
#include "support/linear.hpp"
#include "support/mixture.hpp"

namespace text {

inline constexpr moe::index_t width = 64;    // of h
inline constexpr moe::index_t context = 16;  // characters that a prediction sees

inline constexpr std::size_t layers = 2;

// Part of h0, and of what the head reads, that training drops.
inline constexpr double dropped = 0.3;

struct characters {
    std::span<const int> classes;             // [T]
    std::span<const moe::index_t> sequence;   // [S+1] first character of every sequence, then T
    std::span<const std::uint8_t> mask = {};  // [T] 0: seen by those behind it, but no prediction is wanted; empty: all
    bool training = false;                    // drop parts of h0 and of what the head reads
    std::uint64_t seed = 0, step = 0;         // of the training
};

// What a batch of T characters leaves between forward and backward.
struct workspace {
    moe::matrix<float> x, d_x;                                       // embedded
    std::array<moe::matrix<float>, layers + 1> h, normal, d_normal;  // in front of each layer and of the head
    moe::matrix<float> d_h, logits, d_logits;
    std::array<moe::tape<float>, layers> tape;
    causal_convolution<float>::record windows;

    workspace(moe::index_t tokens, moe::index_t classes);
};

struct model_gradient {
    embedding<float> characters;
    causal_convolution<float> mix;
    std::array<rms_norm<float>, layers + 1> norm;
    std::array<moe::any_gradient, layers> ffn;
    example::linear<float> head;
};

struct model {
    using gradient = model_gradient;

    embedding<float> characters;
    causal_convolution<float> mix;
    std::array<rms_norm<float>, layers + 1> norm;
    std::array<example::mixture, layers> mixtures;
    example::linear<float> head;

    model(std::array<example::mixture, layers> chosen, moe::index_t classes, std::uint64_t seed);

    // Leaves the logits in w, which is made for as many characters. Rows that are masked hold no prediction.
    void forward(moe::cpu& cpu, const text::characters& in, workspace& w) const;

    // Behind forward. Reads w.d_logits and the tapes' d; adds to the gradient.
    void backward(moe::cpu& cpu, const text::characters& in, workspace& w, gradient& g) const;

    gradient make_gradient() const;

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        embedding<float>::parameters(moe::nested(v, "characters"), p.characters...);
        causal_convolution<float>::parameters(moe::nested(v, "mix"), p.mix...);
        for (std::size_t i = 0; i <= layers; ++i) {
            const auto at = moe::nested(v, "norm");
            rms_norm<float>::parameters(moe::nested(at, "", static_cast<moe::index_t>(i)), p.norm[i]...);
        }
        for (std::size_t i = 0; i < layers; ++i) {
            const auto at = moe::nested(v, "ffn");
            example::ffn_layer::parameters(moe::nested(at, "", static_cast<moe::index_t>(i)), layer_of(p, i)...);
        }
        example::linear<float>::parameters(moe::nested(v, "head"), p.head...);
    }
    template <class V>
    static void state(V&& v, model& m) {
        for (std::size_t i = 0; i < layers; ++i) {
            const auto at = moe::nested(v, "ffn");
            example::ffn_layer::state(moe::nested(at, "", static_cast<moe::index_t>(i)), m.mixtures[i].layer);
        }
    }

private:
    // Of a model, or what stands in its place in a gradient.
    template <class P>
    static auto& layer_of(P& p, std::size_t i) {
        if constexpr (requires { p.mixtures; })
            return p.mixtures[i].layer;
        else
            return p.ffn[i];
    }
};

// Throws usage_error with the library's own sentence if the router is not causal.
model make_model(const options& chosen, moe::index_t classes);

}  // namespace text
