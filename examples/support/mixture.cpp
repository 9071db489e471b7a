// SPDX-License-Identifier: Apache-2.0
#include "mixture.hpp"

#include <utility>

#include "moe/moe.hpp"

namespace example {

namespace {

// Softmax scores up to this sum choose the experts of topp.
constexpr double top_p_sum = 0.6;

// Step of a selection bias after a batch.
constexpr double bias_rate = 0.01;

// How much of a running threshold a batch leaves.
constexpr double threshold_memory = 0.98;

moe::linear_gate<float> gate(const mixture_options& o, moe::index_t columns) {
    return {{.features = o.features, .experts = columns, .seed = o.seed}};
}

moe::swiglu_bank<float> bank(moe::index_t features, moe::index_t experts, moe::index_t hidden, std::uint64_t seed) {
    return {{.features = features, .hidden = hidden, .experts = experts, .seed = seed}};
}

moe::expert_choice experts_per_token(double mean) {
    moe::expert_choice selector;
    selector.capacity_factor = mean;
    return selector;
}

enum class control { none, selection_bias, threshold };

template <control Control, class Layer>
void steer(mixture& m, const mixture_options& o) {
    if constexpr (Control == control::selection_bias) {
        m.after_step = [rule = moe::sign_bias{.rate = bias_rate}](moe::cpu&, ffn_layer& layer,
                                                                  const moe::tape<float>& tape) mutable {
            rule.update(moe::get<moe::selection_bias>(*layer.target<Layer>()).bias, tape.plan());
        };
    } else if constexpr (Control == control::threshold) {
        const moe::ema_threshold running{.beta = threshold_memory, .per_token = static_cast<double>(o.k)};
        m.after_step = [rule = running](moe::cpu& cpu, ffn_layer& layer, const moe::tape<float>& tape) mutable {
            rule.update(cpu, moe::get<moe::threshold>(*layer.target<Layer>()).value, tape.routing());
        };
    }
}

template <control Control, class Router, class... Parts>
mixture assemble(const mixture_options& o, Router router, Parts... parts) {
    moe::layer layer{std::move(router), std::move(parts)...};
    using layer_type = decltype(layer);
    mixture m{std::move(layer), {}, {}};
    steer<Control, layer_type>(m, o);
    return m;
}

// The shared experts are drawn from another seed: they would start as copies of the others.
template <control Control = control::none, class Router, class Bank>
mixture with_shared(const mixture_options& o, Router router, Bank experts) {
    if (o.shared == 0) return assemble<Control>(o, std::move(router), std::move(experts));
    return assemble<Control>(o, std::move(router), std::move(experts),
                             moe::shared{bank(o.features, o.shared, o.hidden, o.seed + 1)});
}

mixture compose(const mixture_options& o) {
    auto routed = bank(o.features, o.experts, o.hidden, o.seed);
    switch (o.router) {
        case router_kind::topk:
            return with_shared(
                o, moe::router{gate(o, o.experts), moe::softmax{}, moe::top_k{.k = o.k}, moe::renormalize{}},
                std::move(routed));
        case router_kind::topp:
            return with_shared(
                o, moe::router{gate(o, o.experts), moe::softmax{}, moe::top_p{.p = top_p_sum}, moe::renormalize{}},
                std::move(routed));
        case router_kind::expert_choice:
            return with_shared(o, moe::router{gate(o, o.experts), moe::softmax{}, experts_per_token(o.k)},
                               std::move(routed));
        case router_kind::null:
            // Of 2k slots the nulls take about one half.
            return with_shared(
                o,
                moe::router{gate(o, 2 * o.experts), moe::softmax{}, moe::top_k{.k = 2 * o.k},
                            moe::null_experts{.first = o.experts}},
                moe::banks{std::move(routed), moe::null_bank<float>{{.features = o.features, .experts = o.experts}}});
        case router_kind::threshold:
            return with_shared<control::threshold>(
                o,
                moe::router{gate(o, o.experts), moe::sigmoid{}, moe::threshold{.value = 0.5, .min_experts = 1},
                            moe::renormalize{.epsilon = 1e-20}},
                std::move(routed));
        case router_kind::sigmoid_bias:
            break;
    }
    return with_shared<control::selection_bias>(
        o,
        moe::router{gate(o, o.experts), moe::sigmoid{}, moe::selection_bias{o.experts}, moe::top_k{.k = o.k},
                    moe::renormalize{.epsilon = 1e-20}},
        std::move(routed));
}

}  // namespace

mixture make_mixture(const mixture_options& o) {
    mixture m = compose(o);
    if (o.aux == 0) return m;
    moe::load_balance loss{.coefficient = o.aux};
    if (o.router == router_kind::sigmoid_bias || o.router == router_kind::threshold) {
        loss.from = moe::probabilities::normalized_scores;
    }
    if (o.router == router_kind::null) loss.null_experts = o.experts;
    m.balance_loss = [loss](moe::cpu& cpu, moe::tape<float>& tape) { return loss(cpu, tape); };
    return m;
}

ffn_layer make_dense(moe::index_t features, moe::index_t hidden, std::uint64_t seed) {
    const mixture_options o{.features = features, .experts = 1, .k = 1, .hidden = hidden, .seed = seed};
    return moe::layer{moe::router{gate(o, 1), moe::softmax{}, moe::top_k{.k = 1}}, bank(features, 1, hidden, seed)};
}

}  // namespace example
