// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <vector>

#include "data.hpp"
#include "moe/moe.hpp"

namespace digits {

namespace {

// Softmax scores up to this sum choose the experts of --router topp.
constexpr double top_p_sum = 0.6;

// Step of a selection bias after a batch.
constexpr double bias_rate = 0.01;

moe::linear_gate<float> gate(const options& o, moe::index_t columns) {
    return {{.features = width, .experts = columns, .seed = o.seed}};
}

moe::swiglu_bank<float> bank(moe::index_t experts, moe::index_t hidden, std::uint64_t seed) {
    return {{.features = width, .hidden = hidden, .experts = experts, .seed = seed}};
}

moe::expert_choice experts_per_image(double mean) {
    moe::expert_choice selector;
    selector.capacity_factor = mean;
    return selector;
}

template <class Layer>
classifier::controller steer_bias() {
    return [rule = moe::sign_bias{.rate = bias_rate}](ffn_layer& ffn, const moe::plan_view& plan) mutable {
        rule.update(moe::get<moe::selection_bias>(*ffn.target<Layer>()).bias, plan);
    };
}

enum class control { none, selection_bias };

template <control Control, class Router, class... Parts>
classifier assemble(const options& o, Router router, Parts... parts) {
    moe::layer layer{std::move(router), std::move(parts)...};
    using layer_type = decltype(layer);
    classifier c(std::move(layer), o.seed);
    if constexpr (Control == control::selection_bias) c.after_step = steer_bias<layer_type>();
    return c;
}

// The shared experts are drawn from another seed: they would start as copies of the others.
template <control Control = control::none, class Router, class Bank>
classifier with_shared(const options& o, Router router, Bank experts) {
    if (o.shared == 0) return assemble<Control>(o, std::move(router), std::move(experts));
    return assemble<Control>(o, std::move(router), std::move(experts),
                             moe::shared{bank(o.shared, o.hidden, o.seed + 1)});
}

classifier compose(const options& o) {
    const moe::index_t experts = o.experts, k = o.k;
    auto routed = bank(experts, o.hidden, o.seed);
    switch (o.router) {
        case router_kind::topk:
            return with_shared(o, moe::router{gate(o, experts), moe::softmax{}, moe::top_k{.k = k}, moe::renormalize{}},
                               std::move(routed));
        case router_kind::topp:
            return with_shared(
                o, moe::router{gate(o, experts), moe::softmax{}, moe::top_p{.p = top_p_sum}, moe::renormalize{}},
                std::move(routed));
        case router_kind::expert_choice:
            return with_shared(o, moe::router{gate(o, experts), moe::softmax{}, experts_per_image(k)},
                               std::move(routed));
        case router_kind::null:
            // Of 2k slots the nulls take about one half.
            return with_shared(
                o,
                moe::router{gate(o, 2 * experts), moe::softmax{}, moe::top_k{.k = 2 * k},
                            moe::null_experts{.first = experts}},
                moe::banks{std::move(routed), moe::null_bank<float>{{.features = width, .experts = experts}}});
        case router_kind::sigmoid_bias:
            break;
    }
    return with_shared<control::selection_bias>(
        o,
        moe::router{gate(o, experts), moe::sigmoid{}, moe::selection_bias{experts}, moe::top_k{.k = k},
                    moe::renormalize{.epsilon = 1e-20}},
        std::move(routed));
}

}  // namespace

workspace::workspace(moe::index_t tokens)
    : h(tokens, width),
      o(tokens, width),
      logits(tokens, classes),
      d_logits(tokens, classes),
      d_o(tokens, width),
      d_h(tokens, width) {}

classifier::classifier(ffn_layer layer, std::uint64_t seed)
    : embedding(pixels, width, seed, "digits.embedding"),
      ffn(std::move(layer)),
      head(width, classes, seed, "digits.head") {}

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
    classifier c = compose(chosen);
    if (chosen.aux == 0) return c;
    moe::load_balance loss{.coefficient = chosen.aux};
    if (chosen.router == router_kind::sigmoid_bias) loss.from = moe::probabilities::normalized_scores;
    if (chosen.router == router_kind::null) loss.null_experts = chosen.experts;
    c.balance_loss = [loss](moe::cpu& cpu, moe::tape<float>& tape) { return loss(cpu, tape); };
    return c;
}

classifier make_dense(const options& chosen) {
    const moe::index_t hidden = (chosen.k + chosen.shared) * chosen.hidden;
    return assemble<control::none>(chosen, moe::router{gate(chosen, 1), moe::softmax{}, moe::top_k{.k = 1}},
                                   bank(1, hidden, chosen.seed));
}

std::size_t parameter_count(classifier& c) {
    std::size_t count = 0;
    moe::for_each_tensor(
        c, [&](const moe::parameter_name&, const moe::tensor_ref& tensor) { count += tensor.shape().elements(); });
    return count;
}

std::uint64_t weights_hash(classifier& c) {
    std::uint64_t hash = moe::stream_id("");
    std::vector<double> values;  // aligned for either scalar
    moe::for_each_tensor(c, [&](const moe::parameter_name&, const moe::tensor_ref& tensor) {
        values.resize(tensor.bytes() / sizeof(double) + 1);
        tensor.read(values.data());
        const auto* const bytes = reinterpret_cast<const unsigned char*>(values.data());
        for (std::size_t i = 0; i < tensor.bytes(); ++i) hash = (hash ^ bytes[i]) * 1099511628211ull;
    });
    return hash;
}

}  // namespace digits
