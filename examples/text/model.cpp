// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <utility>

#include "moe/train/gradient.hpp"

namespace text {

namespace {

using kernels = moe::kernels_of<moe::cpu>;

moe::batch<float> batch_of(const characters& in, const moe::matrix<float>& x) {
    moe::batch<float> b;
    b.x = x;
    b.mask = in.mask;
    b.sequence = in.sequence;
    b.seed = in.seed;
    b.step = in.step;
    b.training = in.training;
    b.causal = true;
    return b;
}

// Drops the same parts whenever it is called with the same batch and name.
void drop_in_training(moe::cpu& cpu, const characters& in, moe::matrix<float>& x, std::string_view name) {
    if (in.training) drop(cpu, x.view(), dropped, {in.seed, moe::stream_id(name), in.step});
}

// Each layer draws its weights from a seed of its own; shared experts take the next one.
std::uint64_t layer_seed(std::uint64_t seed, std::size_t layer) { return seed + 2 * (layer + 1) * 1000003; }

example::mixture make_layer(const options& o, std::size_t layer) {
    return example::make_mixture({.router = o.router,
                                  .features = width,
                                  .experts = o.experts,
                                  .k = o.k,
                                  .hidden = o.hidden,
                                  .aux = o.aux,
                                  .seed = layer_seed(o.seed, layer)});
}

// Routes one character: the library checks the whole composition before any work.
void require_causal(const options& o, const model& m) {
    const moe::matrix<float> x(1, width);
    const int character[] = {0};
    const moe::index_t sequence[] = {0, 1};
    moe::cpu cpu;
    moe::arena memory;
    try {
        m.mixtures[0].layer.route(cpu, batch_of({character, sequence}, x), memory);
    } catch (const moe::value_error& e) {
        throw usage_error(std::string("--router ") + name_of(o.router) + ": " + e.what());
    }
}

template <class T>
std::array<rms_norm<T>, layers + 1> norms() {
    return {rms_norm<T>(width), rms_norm<T>(width), rms_norm<T>(width)};
}

std::array<moe::matrix<float>, layers + 1> matrices(moe::index_t tokens) {
    return {moe::matrix<float>(tokens, width), moe::matrix<float>(tokens, width), moe::matrix<float>(tokens, width)};
}

}  // namespace

workspace::workspace(moe::index_t tokens, moe::index_t classes)
    : x(tokens, width),
      d_x(tokens, width),
      h(matrices(tokens)),
      normal(matrices(tokens)),
      d_normal(matrices(tokens)),
      d_h(tokens, width),
      logits(tokens, classes),
      d_logits(tokens, classes),
      windows(tokens, width, context) {}

model::model(std::array<example::mixture, layers> chosen, moe::index_t classes, std::uint64_t seed)
    : characters(classes, width, seed, "text.embedding"),
      mix(width, context, seed, "text.convolution"),
      norm(norms<float>()),
      mixtures(std::move(chosen)),
      head(width, classes, seed, "text.head") {}

void model::forward(moe::cpu& cpu, const text::characters& in, workspace& w) const {
    characters.forward(cpu, in.classes, w.x);
    mix.forward(cpu, w.x, in.sequence, w.windows, w.h[0]);
    drop_in_training(cpu, in, w.h[0], "text.drop.mixed");
    for (std::size_t i = 0; i < layers; ++i) {
        norm[i].forward(cpu, w.h[i], w.normal[i]);
        mixtures[i].layer.forward(cpu, batch_of(in, w.normal[i]), w.h[i + 1], w.tape[i]);
        kernels::add(cpu, w.h[i].view(), w.h[i + 1].view());
    }
    norm[layers].forward(cpu, w.h[layers], w.normal[layers]);
    drop_in_training(cpu, in, w.normal[layers], "text.drop.head");
    head.forward(cpu, w.normal[layers], w.logits);
}

void model::backward(moe::cpu& cpu, const text::characters& in, workspace& w, gradient& g) const {
    head.backward<moe::cpu>(cpu, w.normal[layers], w.d_logits, w.d_normal[layers], g.head);
    drop_in_training(cpu, in, w.d_normal[layers], "text.drop.head");
    kernels::fill(cpu, w.d_h.view(), 0.0f);
    norm[layers].backward<moe::cpu>(cpu, w.h[layers], w.d_normal[layers], w.d_h, g.norm[layers]);
    for (std::size_t i = layers; i-- > 0;) {
        mixtures[i].layer.backward(cpu, w.d_h, w.tape[i], w.d_normal[i], g.ffn[i]);
        norm[i].backward<moe::cpu>(cpu, w.h[i], w.d_normal[i], w.d_h, g.norm[i]);
    }
    drop_in_training(cpu, in, w.d_h, "text.drop.mixed");
    mix.backward<moe::cpu>(cpu, w.d_h, w.windows, w.d_x, g.mix);
    characters.backward(in.classes, w.d_x, g.characters);
}

model_gradient model::make_gradient() const {
    return {moe::make_gradient(characters),
            moe::make_gradient(mix),
            {moe::make_gradient(norm[0]), moe::make_gradient(norm[1]), moe::make_gradient(norm[2])},
            {mixtures[0].layer.make_gradient(), mixtures[1].layer.make_gradient()},
            moe::make_gradient(head)};
}

model make_model(const options& chosen, moe::index_t classes) {
    model m({make_layer(chosen, 0), make_layer(chosen, 1)}, classes, chosen.seed);
    require_causal(chosen, m);
    return m;
}

}  // namespace text
