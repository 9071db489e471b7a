// bench/support: a layer with cold weights, and inputs whose tokens go where a load says
// SPDX-License-Identifier: Apache-2.0
//
// There are as many copies of the layer as make more bytes than the caches hold; runs take one after the other. The
// router is live: gate row e reads feature e alone of the first E features, and an input is large there for the
// experts that its token shall use.
#pragma once

#include <cmath>
#include <memory>

#include "moe/backend/cpu.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/recompute.hpp"
#include "moe/gate/linear.hpp"
#include "moe/layer/layer.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"
#include "moe/testing/random.hpp"
#include "support/loads.hpp"
#include "support/formats.hpp"

namespace bench {

template <class Format>
auto make_bank(const layer_shape& s, std::uint64_t seed) {
    moe::swiglu_bank<typename Format::scalar, typename Format::storage> bank{
        {.features = s.features, .hidden = s.hidden, .experts = s.experts, .seed = seed}};
    if constexpr (requires { Format::recomputes; }) return moe::recompute{std::move(bank)};
    else return bank;
}

template <class Format>
auto make_layer(const layer_shape& s, std::uint64_t seed = 0) {
    using T = typename Format::scalar;
    moe::linear_gate<T> gate{{.features = s.features, .experts = s.experts}};
    for (index_t e = 0; e < s.experts; ++e) {
        for (index_t k = 0; k < s.experts; ++k) gate.weight(0, e, k) = T(e == k ? 1 : 0);
    }
    return moe::layer{
        moe::router{std::move(gate), moe::softmax{}, moe::top_k{.k = s.per_token}, moe::renormalize{}},
        make_bank<Format>(s, seed)};
}

template <class Format>
using layer_type = decltype(make_layer<Format>(std::declval<layer_shape>()));

template <class T>
struct layer_input {
    moe::matrix<T> x;
    std::vector<index_t> rows;  // of every expert

    layer_input(const layer_shape& s, load kind, index_t tokens, index_t turn)
        : x(moe::testing::random_matrix<T>(tokens, s.features, static_cast<std::uint64_t>(turn) + 77)),
          rows(static_cast<std::size_t>(s.experts), 0) {
        const std::vector<index_t> experts = experts_of(kind, s, tokens, turn);
        for (index_t t = 0; t < tokens; ++t) {
            for (index_t e = 0; e < s.experts; ++e) x(t, e) *= T(0.1);
            for (index_t k = 0; k < s.per_token; ++k) {
                const index_t e = experts[std::size_t(t * s.per_token + k)];
                x(t, e) += T(12);
                ++rows[std::size_t(e)];
            }
        }
    }
    index_t touched() const {
        return static_cast<index_t>(std::count_if(rows.begin(), rows.end(), [](index_t n) { return n > 0; }));
    }
    index_t most_rows() const { return *std::max_element(rows.begin(), rows.end()); }
    moe::batch<T> batch(index_t tokens) const {
        moe::batch<T> b;
        b.x = x.view().middle_rows(0, tokens);
        return b;
    }
    moe::batch<T> batch() const { return batch(x.rows()); }
};

struct any_layer_copies {
    virtual ~any_layer_copies() = default;
};

inline std::unique_ptr<any_layer_copies>& last_copies() {
    static std::unique_ptr<any_layer_copies> last;
    return last;
}

// One layer of one format is in memory at a time.
template <class Format>
class layer_copies : public any_layer_copies {
public:
    static layer_copies& get(const layer_shape& s, bool one) {
        std::unique_ptr<any_layer_copies>& last = last_copies();
        auto* known = dynamic_cast<layer_copies*>(last.get());
        if (known == nullptr || known->shape_.name != s.name || known->one_ != one) {
            last.reset();
            last = std::make_unique<layer_copies>(s, one);
            known = static_cast<layer_copies*>(last.get());
        }
        return *known;
    }

    layer_copies(const layer_shape& s, bool one) : shape_(s), one_(one) {
        const double bytes = s.experts * expert_bytes<Format>(s);
        const double count = one ? 1.0 : std::max(1.0, std::ceil(cold_bytes() / bytes));
        copies_.push_back(std::make_unique<layer_type<Format>>(make_layer<Format>(s)));
        while (static_cast<double>(copies_.size()) < count) {
            copies_.push_back(std::make_unique<layer_type<Format>>(*copies_[0]));
        }
    }
    std::size_t size() const { return copies_.size(); }
    layer_type<Format>& operator[](std::size_t i) { return *copies_[i]; }

private:
    layer_shape shape_;
    bool one_;
    std::vector<std::unique_ptr<layer_type<Format>>> copies_;
};

template <class T>
std::vector<layer_input<T>> inputs_of(const layer_shape& s, load kind, index_t tokens) {
    std::vector<layer_input<T>> inputs;
    for (index_t turn = 0; turn < turns_of(kind, s, tokens); ++turn) inputs.emplace_back(s, kind, tokens, turn);
    return inputs;
}

// Empty, or what is wrong with the routes of the input.
template <class T, class Layer>
std::string check_routes(const Layer& layer, moe::cpu& cpu, const layer_input<T>& input) {
    moe::arena memory;
    const moe::routing<T> s = layer.route(cpu, input.batch(), memory);
    std::vector<index_t> rows(input.rows.size(), 0);
    for (const index_t e : s.routes.expert) {
        if (e >= 0) ++rows[std::size_t(e)];
    }
    return rows == input.rows ? "" : "the router does not follow the load";
}

}  // namespace bench
