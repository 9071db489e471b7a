// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <utility>

#include "data.hpp"
#include "moe/train/gradient.hpp"

namespace digits {

workspace::workspace(moe::index_t tokens)
    : h(tokens, width),
      o(tokens, width),
      logits(tokens, classes),
      d_logits(tokens, classes),
      d_o(tokens, width),
      d_h(tokens, width) {}

classifier::classifier(example::mixture m, std::uint64_t seed)
    : embedding(pixels, width, seed, "digits.embedding"),
      ffn(std::move(m.layer)),
      head(width, classes, seed, "digits.head"),
      balance_loss(std::move(m.balance_loss)),
      after_step(std::move(m.after_step)) {}

void classifier::forward(moe::cpu& cpu, moe::matrix_view<const float> x, workspace& w) const {
    embedding.forward(cpu, x, w.h);
    moe::batch<float> in;
    in.x = w.h;
    ffn.forward(cpu, in, w.o, w.tape);
    moe::kernels_of<moe::cpu>::add(cpu, w.h.view(), w.o.view());
    head.forward(cpu, w.o, w.logits);
}

void classifier::backward(moe::cpu& cpu, moe::matrix_view<const float> x, workspace& w, gradient& g) const {
    head.backward(cpu, w.o, w.d_logits, w.d_o, g.head);
    ffn.backward(cpu, w.d_o, w.tape, w.d_h, g.ffn);
    moe::kernels_of<moe::cpu>::add(cpu, w.d_o.view(), w.d_h.view());
    embedding.backward(cpu, x, w.d_h, {}, g.embedding);
}

classifier_gradient classifier::make_gradient() const {
    return {moe::make_gradient(embedding), ffn.make_gradient(), moe::make_gradient(head)};
}

classifier make_mixture(const options& chosen) {
    return {example::make_mixture({.router = chosen.router,
                                   .features = width,
                                   .experts = chosen.experts,
                                   .k = chosen.k,
                                   .hidden = chosen.hidden,
                                   .shared = chosen.shared,
                                   .aux = chosen.aux,
                                   .seed = chosen.seed}),
            chosen.seed};
}

classifier make_dense(const options& chosen) {
    const moe::index_t hidden = (chosen.k + chosen.shared) * chosen.hidden;
    return {{example::make_dense(width, hidden, chosen.seed), {}, {}}, chosen.seed};
}

}  // namespace digits
