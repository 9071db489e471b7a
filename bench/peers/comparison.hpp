// bench/peers: this layer in one format of weights, and what both it and a peer are checked against
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "support/check.hpp"
#include "support/measure.hpp"

namespace peers {

using bench::index_t;

// x and y are [tokens,D], row-major.
class comparison {
public:
    explicit comparison(const bench::layer_shape& s) : shape(s) {}
    virtual ~comparison() = default;

    const bench::layer_shape shape;

    virtual double bytes_of_expert() const = 0;
    virtual bench::limits limits() const = 0;
    // Expert e as this layer has it: gate and up [H,D], down [D,H].
    virtual void read_expert(index_t e, float* gate, float* up, float* down) const = 0;
    virtual void read_router(float* to) const = 0;
    virtual void forward(const float* x, index_t tokens, float* y) = 0;
    // How far the first rows of y are from those of the reference backend, over what is tolerated: at most 1 if right.
    virtual double error_of_own(const float* x, index_t tokens, float* y) const = 0;
    // Until the next call.
    virtual moe::routing<float> route(const float* x, index_t tokens) = 0;
    // Rounded where the format rounds inputs, so that no peer is measured by how it rounds.
    virtual void fill_input(const bench::layer_input<float>& from, float* x) const = 0;

    void set_threads(index_t n) {
        threads_ = n;
        cpu_.emplace(moe::cpu_options{.threads = n});
    }

    // Gives the layer that is checked against, with weights and sums in float, the weights of expert e.
    void refer(index_t e, float* gate, float* up, float* down) {
        const index_t d = shape.features, h = shape.hidden;
        if (!reference_) reference_.emplace(bench::make_layer<bench::f32>(shape, moe::no_draw));
        auto& bank = reference_->experts();
        bank.gate.assign(e, moe::matrix_view<float>(gate, h, d, d));
        bank.up.assign(e, moe::matrix_view<float>(up, h, d, d));
        bank.down.assign(e, moe::matrix_view<float>(down, d, h, h));
    }
    // Without such weights it is this layer itself.
    void forward_reference(const float* x, index_t tokens, float* y) {
        if (reference_) reference_->forward(cpu(), batch_of(x, tokens), matrix_of(y, tokens));
        else forward(x, tokens, y);
    }

    moe::cpu& cpu() { return *cpu_; }

protected:
    moe::batch<float> batch_of(const float* x, index_t tokens) const {
        moe::batch<float> in;
        in.x = moe::matrix_view<const float>(x, tokens, shape.features, shape.features);
        return in;
    }
    moe::matrix_view<float> matrix_of(float* y, index_t tokens) const {
        return {y, tokens, shape.features, shape.features};
    }
    index_t threads_ = 1;

private:
    std::optional<moe::cpu> cpu_;
    std::optional<bench::layer_type<bench::f32>> reference_;
};

template <class Format>
class comparison_in final : public comparison {
public:
    explicit comparison_in(const bench::layer_shape& s)
        : comparison(s), layer_(bench::make_layer<Format>(s, moe::no_draw)) {
        moe::matrix<float> wide(s.hidden, s.features), tall(s.features, s.hidden);
        auto& bank = layer_.experts();
        for (index_t e = 0; e < s.experts; ++e) {
            bank.gate.assign(e, drawn(wide));
            bank.up.assign(e, drawn(wide));
            bank.down.assign(e, drawn(tall));
        }
    }

    double bytes_of_expert() const override { return bench::expert_bytes<Format>(shape); }
    bench::limits limits() const override { return bench::measure_limits<Format>(threads_); }
    void read_expert(index_t e, float* gate, float* up, float* down) const override {
        const index_t d = shape.features, h = shape.hidden;
        layer_.experts().gate.read(e, moe::matrix_view<float>(gate, h, d, d));
        layer_.experts().up.read(e, moe::matrix_view<float>(up, h, d, d));
        layer_.experts().down.read(e, moe::matrix_view<float>(down, d, h, h));
    }
    void read_router(float* to) const override {
        const auto& weight = layer_.router().template step<0>().weight;
        weight.read(0, moe::matrix_view<float>(to, shape.experts, shape.features, shape.features));
    }
    void forward(const float* x, index_t tokens, float* y) override {
        layer_.forward(cpu(), batch_of(x, tokens), matrix_of(y, tokens));
    }
    double error_of_own(const float* x, index_t tokens, float* y) const override {
        const index_t few = std::min(tokens, index_t{2});
        moe::reference reference;
        const moe::matrix<float> wanted = layer_(reference, batch_of(x, few));
        const moe::matrix_view<const float> got = matrix_of(y, few);
        return bench::error_of(got, moe::matrix_view<const float>(wanted.view())) / Format::tolerated;
    }
    moe::routing<float> route(const float* x, index_t tokens) override {
        memory_.reset();
        return layer_.route(cpu(), batch_of(x, tokens), memory_);
    }
    void fill_input(const bench::layer_input<float>& from, float* x) const override {
        using weight = typename Format::storage::template weights<float>::value_type;
        for (const float v : from.x.span()) *x++ = moe::as_input<weight>(v);
    }

private:
    // Uniform in +-1/sqrt(K), by a generator that is less than the library's own and ten times as fast.
    moe::matrix_view<float> drawn(moe::matrix<float>& w) {
        const float bound = 1 / std::sqrt(static_cast<float>(w.cols()));
        for (float& v : w.span()) {
            state_ = state_ * 6364136223846793005u + 1442695040888963407u;
            v = bound * static_cast<float>(static_cast<std::int32_t>(state_ >> 32)) * 0x1p-31f;
        }
        return w.view();
    }

    bench::layer_type<Format> layer_;
    moe::arena memory_;
    std::uint64_t state_ = 1;
};

inline std::unique_ptr<comparison> make_comparison(const std::string& shape, const std::string& format) {
    for (const bench::layer_shape& s : bench::shapes()) {
        if (shape != s.name) continue;
        std::unique_ptr<comparison> made;
        const auto try_format = [&](auto known) {
            using Format = decltype(known);
            if (format == Format::name) made = std::make_unique<comparison_in<Format>>(s);
        };
        try_format(bench::f32{});
        try_format(bench::bf16{});
        try_format(bench::f16{});
        try_format(bench::int8_32{});
        try_format(bench::int4_32{});
        return made;
    }
    return nullptr;
}

}  // namespace peers
