// fuzz: any composition of steps on any values keeps its promises: routes are valid, training repeats inference, threads
// change no bit, masked tokens get nothing
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "moe/moe.hpp"
#include "support/any_step.hpp"

namespace {

using moe::index_t;

using any_score =
    any::score<moe::identity_score, moe::softmax, moe::sigmoid, moe::relu_score, moe::sqrt_softplus, moe::l2_normalize,
               moe::standardize, moe::temperature, moe::soft_cap, moe::gaussian_noise, moe::gumbel_noise, moe::jitter,
               moe::random_expert_mask>;
using any_key = any::key<moe::keys_only<moe::identity_score>, moe::group_limit, moe::selection_bias,
                         moe::keys_only<moe::softmax>, moe::keys_only<moe::gaussian_noise>>;
using any_selector =
    any::selector<moe::top_k, moe::top_p, moe::expert_choice, moe::dense, moe::threshold, moe::global_top,
                  moe::first_and_second, moe::token_threshold, moe::batch_threshold>;
using any_route = any::route<moe::scale, moe::renormalize, moe::softmax_selected, moe::sigmoid_selected, moe::p_norm,
                             moe::constant_weights, moe::drop_below, moe::null_experts, moe::capacity,
                             moe::capacity_reroute>;

// Reads small numbers and any float from the input; zeros where it ends.
class reader {
public:
    reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    index_t below(index_t limit) {
        const std::uint8_t byte = at_ < size_ ? data_[at_++] : std::uint8_t{0};
        return static_cast<index_t>(byte) % limit;
    }
    bool coin() { return below(2) == 1; }
    // An option: mostly sensible, at times anything.
    double option() {
        const index_t kind = below(8);
        return kind == 7 ? static_cast<double>(bits()) : kind * 0.5;
    }
    float value() {
        const index_t kind = below(4);
        if (kind == 3) return bits();
        return static_cast<float>(below(9) - 4) * (kind == 2 ? 0.5f : 1.0f);
    }

private:
    float bits() {
        std::uint8_t raw[sizeof(float)] = {};
        for (auto& byte : raw) byte = static_cast<std::uint8_t>(below(256));
        float v;
        std::memcpy(&v, raw, sizeof v);
        return v;
    }

    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

any_score read_score(reader& r) {
    switch (r.below(13)) {
        case 1: return {moe::softmax{}};
        case 2: return {moe::sigmoid{}};
        case 3: return {moe::relu_score{}};
        case 4: return {moe::sqrt_softplus{}};
        case 5: return {moe::l2_normalize{.epsilon = r.option()}};
        case 6: return {moe::standardize{.epsilon = r.option()}};
        case 7: return {moe::temperature{.value = r.option()}};
        case 8: return {moe::soft_cap{.cap = r.option()}};
        case 9: return {moe::gaussian_noise{.sigma = r.option()}};
        case 10: return {moe::gumbel_noise{.scale = r.option()}};
        case 11: return {moe::jitter{.epsilon = r.option()}};
        case 12: return {moe::random_expert_mask{.keep = r.below(9), .protect = r.below(4)}};
        default: return {moe::identity_score{}};
    }
}

any_key read_key(reader& r, index_t experts) {
    switch (r.below(5)) {
        case 1: return {moe::group_limit{.groups = r.below(5), .keep = r.below(5), .best = r.below(4),
                                         .fill = r.coin() ? 0.0 : -std::numeric_limits<double>::infinity()}};
        case 2: {
            moe::selection_bias bias(experts);
            for (float& v : bias.bias.span()) v = r.value();
            return {std::move(bias)};
        }
        case 3: return {moe::keys_only{moe::softmax{}}};
        case 4: return {moe::keys_only{moe::gaussian_noise{.sigma = r.option()}}};
        default: return {moe::keys_only{moe::identity_score{}}};
    }
}

any_selector read_selector(reader& r) {
    switch (r.below(9)) {
        case 1: return {moe::top_p{.p = r.option(), .include_crossing = r.coin(), .exceed = r.coin(),
                                   .min_experts = r.below(4), .max_experts = r.below(6)}};
        case 2: {
            moe::expert_choice e{.capacity_factor = r.option(), .min_capacity = r.below(3), .per_sequence = r.coin()};
            if (r.coin()) e.capacity = r.below(7) - 1;
            return {e};
        }
        case 3: return {moe::dense{}};
        case 4: return {moe::threshold{.value = r.option(), .inclusive = r.coin(), .min_experts = r.below(4),
                                       .max_experts = r.below(6)}};
        case 5: return {moe::global_top{.experts_per_token = r.option(), .keep_ties = r.coin()}};
        case 6: return {moe::first_and_second{.policy = static_cast<moe::second_expert>(r.below(3)), .always = r.coin()}};
        case 7: return {moe::token_threshold{.q = r.option(), .min_experts = r.below(3), .max_experts = r.below(6)}};
        case 8: return {moe::batch_threshold{.q = r.option(), .min_experts = r.below(3), .max_experts = r.below(6)}};
        default: return {moe::top_k{.k = r.below(10) - 1}};
    }
}

moe::capacity_options read_capacity(reader& r) {
    moe::capacity_options o{.factor = r.option(), .least = r.below(3), .multiple = r.below(4), .per_choice = r.coin(),
                            .scope = static_cast<moe::capacity_scope>(r.below(3)), .rows = r.below(5),
                            .priority = static_cast<moe::capacity_priority>(r.below(6))};
    if (r.coin()) o.count = r.below(6) - 1;
    return o;
}

any_route read_route(reader& r) {
    switch (r.below(10)) {
        case 1: return {moe::renormalize{.epsilon = r.option(), .least = r.option(), .skip_single = r.coin()}};
        case 2: return {moe::softmax_selected{.temperature = r.option()}};
        case 3: return {moe::sigmoid_selected{}};
        case 4: return {moe::p_norm{.p = r.option(), .epsilon = r.option()}};
        case 5: return {moe::constant_weights{.value = r.option()}};
        case 6: return {moe::drop_below{.ratio = r.option(), .least = r.option()}};
        case 7: return {moe::null_experts{.first = r.below(9)}};
        case 8: return {moe::capacity{read_capacity(r)}};
        case 9: return {moe::capacity_reroute{read_capacity(r)}};
        default: return {moe::scale{r.option()}};
    }
}

void require(bool holds, const char* promise) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", promise);
    std::abort();
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

void check_routes(const moe::routing<float>& s, const moe::plan_view& plan, index_t experts) {
    const auto& r = s.routes;
    require(r.offset.size() == std::size_t(s.tokens()) + 1 && r.offset[0] == 0, "offsets start at 0");
    index_t live = 0;
    for (index_t t = 0; t < s.tokens(); ++t) {
        require(r.begin(t) <= r.end(t), "offsets do not fall");
        for (index_t i = r.begin(t); i < r.end(t); ++i) {
            const index_t e = r.expert[std::size_t(i)];
            require(e >= -1 && e < experts, "ids are -1 or in range");
            require(e >= 0 || r.weight[std::size_t(i)] == 0.0f, "an empty slot weighs 0");
            require(e < 0 || s.in().live(t), "a masked token has no route");
            for (index_t j = r.begin(t); j < i; ++j) require(e < 0 || r.expert[std::size_t(j)] != e, "ids are distinct");
            live += e >= 0 ? 1 : 0;
        }
    }
    require(plan.rows() == live, "the plan has every live route");
}

template <class Layer>
void check_layer(const Layer& layer, const moe::batch<float>& in) {
    const index_t tokens = in.tokens(), features = in.x.cols;
    moe::cpu one{{.threads = 1}};
    static moe::cpu three{{.threads = 3}};
    moe::matrix<float> y(tokens, features), again(tokens, features), dy(tokens, features);
    std::fill(dy.span().begin(), dy.span().end(), 1.0f);
    std::fill(y.span().begin(), y.span().end(), 1e30f);
    layer.forward(one, in, y.view());
    for (index_t t = 0; t < tokens; ++t) {
        for (index_t d = 0; d < features && !in.live(t); ++d) require(y(t, d) == 0.0f, "a masked token's output is 0");
    }
    moe::tape<float> tape;
    moe::matrix<float> dx(tokens, features), dx_again(tokens, features);
    auto gradient = layer.make_gradient(), gradient_again = layer.make_gradient();
    layer.forward(one, in, again.view(), tape);
    require(same_bits(y.span(), again.span()), "training repeats the bits of inference");
    check_routes(tape.routing(), tape.plan(), layer.experts().experts());
    layer.backward(one, dy.view(), tape, dx.view(), gradient);
    layer.forward(three, in, again.view(), tape);
    require(same_bits(y.span(), again.span()), "threads change no bit of the output");
    layer.backward(three, dy.view(), tape, dx_again.view(), gradient_again);
    require(same_bits(dx.span(), dx_again.span()), "threads change no bit of dx");
    moe::visit_parameters(
        [](const moe::parameter_name&, const auto& a, const auto& b) {
            require(same_bits(moe::flat(a), moe::flat(b)), "threads change no bit of a gradient");
        },
        gradient, gradient_again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    reader r(data, size);
    const index_t tokens = r.below(12), features = 1 + r.below(5), experts = 1 + r.below(8);
    std::vector<std::uint8_t> mask;
    std::vector<index_t> sequence;
    moe::batch<float> in;
    if (r.coin()) {
        for (index_t t = 0; t < tokens; ++t) mask.push_back(r.coin() ? 1 : 0);
        in.mask = mask;
    }
    if (r.coin()) {
        const index_t cut = tokens == 0 ? 0 : r.below(tokens + 1);
        sequence = {0, cut, tokens};
        in.sequence = sequence;
    }
    in.training = r.coin();
    in.k = r.below(8) == 0 ? r.below(10) : 0;
    in.step = static_cast<std::uint64_t>(r.below(4));
    moe::matrix<float> x(tokens, features);
    try {
        const moe::layer layer{
            moe::router{moe::linear_gate<float>{{.features = features, .experts = experts}}, read_score(r), read_score(r),
                        read_key(r, experts), read_key(r, experts), read_selector(r), read_route(r), read_route(r),
                        read_route(r)},
            moe::swiglu_bank<float>{{.features = features, .hidden = 1 + r.below(5), .experts = experts}}};
        for (float& v : x.span()) v = r.value();
        in.x = x;
        check_layer(layer, in);
    } catch (const moe::error&) {
        // Options that do not fit are refused.
    }
    return 0;
}
