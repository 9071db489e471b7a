// examples/digits/model: features [T,64] -> logits [T,10], a linear map, one feed-forward layer beside it, a linear map
// SPDX-License-Identifier: Apache-2.0
//
//     h      = x E^T + e      embedding, 64 -> width
//     o      = h + ffn(h)     a mixture of experts, or one expert that sees every image: the dense model
//     logits = o V^T + v      head, width -> 10
#pragma once

#include "options.hpp"
#include "support/linear.hpp"
#include "support/mixture.hpp"

namespace digits {

inline constexpr moe::index_t width = 64;  // of h

using example::ffn_layer;
using linear = example::linear<float>;

// What one batch leaves between forward and backward.
struct workspace {
    moe::matrix<float> h, o, logits, d_logits, d_o, d_h;
    moe::tape<float> tape;

    explicit workspace(moe::index_t tokens);
};

struct classifier_gradient {
    linear embedding;
    moe::any_gradient ffn;
    linear head;
};

struct classifier {
    using gradient = classifier_gradient;

    linear embedding;
    ffn_layer ffn;
    linear head;
    // As a mixture's; the dense model has none.
    decltype(example::mixture::balance_loss) balance_loss;
    decltype(example::mixture::after_step) after_step;

    classifier(example::mixture m, std::uint64_t seed);

    // x [T,64]; leaves the logits in w, which is of T tokens.
    void forward(moe::cpu& cpu, moe::matrix_view<const float> x, workspace& w) const;

    // Behind forward. Reads w.d_logits and w.tape.d; adds to the gradient.
    void backward(moe::cpu& cpu, moe::matrix_view<const float> x, workspace& w, gradient& g) const;

    gradient make_gradient() const;

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        linear::parameters(moe::nested(v, "embedding"), p.embedding...);
        ffn_layer::parameters(moe::nested(v, "ffn"), p.ffn...);
        linear::parameters(moe::nested(v, "head"), p.head...);
    }
    template <class V>
    static void state(V&& v, classifier& c) {
        ffn_layer::state(moe::nested(v, "ffn"), c.ffn);
    }
};

classifier make_mixture(const options& chosen);

// One expert as wide as all that the mixture uses for an image.
classifier make_dense(const options& chosen);

}  // namespace digits
