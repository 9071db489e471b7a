// bench/peers: a layer with the products of another library, expert by expert
// SPDX-License-Identifier: Apache-2.0
//
// Routes and plans with this library, gathers an expert's rows, multiplies by gate and up in one product, applies
// SwiGLU, multiplies by down, and adds the weighted rows.
#pragma once

#include "peers/comparison.hpp"
#include "peers/products.hpp"

namespace peers {

class by_expert {
public:
    // False if there is no such library, or it has no such format.
    bool open(const comparison& c, const std::string& library, const std::string& format) {
        const index_t d = c.shape.features, h = c.shape.hidden;
        const bool keeps = library == "openblas";  // takes weights as they are
        given_.clear();
        experts_.clear();
        for (index_t e = 0; e < c.shape.experts; ++e) {
            moe::matrix<float> gate_up(2 * h, d), down(d, h);
            c.read_expert(e, gate_up.data(), gate_up.data() + std::ptrdiff_t(h) * d, down.data());
            experts_.push_back(
                {make_product(library, format, gate_up.view()), make_product(library, format, down.view())});
            if (!experts_.back().gate_up) return false;
            if (!keeps) continue;
            given_.push_back(std::move(gate_up));
            given_.push_back(std::move(down));
        }
        return true;
    }

    void forward(comparison& c, const float* x, index_t tokens, float* y) {
        using kernels = moe::kernels_of<moe::cpu>;
        const moe::routing<float> s = c.route(x, tokens);
        memory_.reset();
        const moe::plan_view plan = kernels::build_plan(c.cpu(), tokens, c.shape.experts, s.routes.offset,
                                                        s.routes.expert, memory_);
        if (rows_.rows() < tokens) {
            rows_ = out_ = moe::matrix<float>(tokens, c.shape.features);
            sums_ = moe::matrix<float>(tokens, 2 * c.shape.hidden);
            hidden_ = moe::matrix<float>(tokens, c.shape.hidden);
        }
        std::fill_n(y, std::ptrdiff_t(tokens) * c.shape.features, 0.0f);
        for (index_t e = 0; e < c.shape.experts; ++e) {
            if (plan.end(e) > plan.begin(e)) add_expert(c.shape, e, x, s, plan, y);
        }
    }

private:
    struct expert_products {
        std::unique_ptr<product> gate_up, down;
    };

    void add_expert(const bench::layer_shape& shape, index_t e, const float* x, const moe::routing<float>& s,
                    const moe::plan_view& plan, float* y) {
        const index_t count = plan.end(e) - plan.begin(e), first = plan.begin(e), d = shape.features, h = shape.hidden;
        const auto token = [&](index_t i) { return std::ptrdiff_t(plan.token[std::size_t(first + i)]) * d; };
        for (index_t i = 0; i < count; ++i) std::copy_n(x + token(i), d, rows_.view().row(i));
        experts_[std::size_t(e)].gate_up->multiply(rows_.data(), count, sums_.data());
        for (index_t i = 0; i < count; ++i) {
            activate(sums_.data() + std::ptrdiff_t(i) * 2 * h, h, hidden_.data() + std::ptrdiff_t(i) * h);
        }
        experts_[std::size_t(e)].down->multiply(hidden_.data(), count, out_.data());
        for (index_t i = 0; i < count; ++i) {
            const float weight = s.routes.weight[std::size_t(plan.slot[std::size_t(first + i)])];
            for (index_t j = 0; j < d; ++j) y[token(i) + j] += weight * out_.data()[std::ptrdiff_t(i) * d + j];
        }
    }

    // gate [h] and up [h] behind it
    static void activate(const float* gate, index_t h, float* to) {
        using V = moe::simd_vector<float>;
        constexpr moe::gated<moe::silu> activation{};
        for (index_t j = 0; j < h; j += V::size) {
            const auto value = activation.value<moe::simd_math>(moe::detail::load_some(gate + j, h - j),
                                                                moe::detail::load_some(gate + h + j, h - j));
            moe::detail::store_some(value, to + j, h - j);
        }
    }

    std::vector<expert_products> experts_;
    std::vector<moe::matrix<float>> given_;
    moe::arena memory_;
    moe::matrix<float> rows_, sums_, hidden_, out_;
};

}  // namespace peers
