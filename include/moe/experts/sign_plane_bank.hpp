// experts/sign_plane_bank: a bank stored in 2 bits a weight and planes of one bit more each, read at any width
// SPDX-License-Identifier: Apache-2.0
//
//     moe::sign_plane_bank<64, moe::gated<moe::silu>> planes(cpu, bank, x, tape.plan(), 4);
//     auto of_3 = planes.at(3);           a float bank of the weights that 3 bits stand for
//
// core/sign_planes.hpp has the formula; the moments are those of the inputs that an expert got in the plan, as in
// experts/quantize_bank.hpp. An expert without rows counts all inputs alike. No kernel reads planes: banks at a width
// multiply in float, or in what quantize_bank makes of them.
// errors        x, plan: as quantize_bank; bits out of [2, 8]: value_error
// memory        base and planes; each bank at a width has its own floats
#pragma once

#include "moe/core/sign_planes.hpp"
#include "moe/experts/quantize_bank.hpp"

MOE_BEGIN

template <index_t group, class Activation>
class sign_plane_bank {
public:
    using bank_type = ffn_bank<float, Activation>;
    using planes = sign_planes<group>;

    planes gate, up, down;  // gate: gated kinds only, else of no experts
    Activation activation;

    // All inputs count alike.
    sign_plane_bank(const bank_type& bank, int bits)
        : gate(of(bank.gate, bits)), up(of(bank.up, bits)), down(of(bank.down, bits)), activation(bank.activation) {
        keep_biases(bank);
        for (index_t e = 0; e < bank.experts(); ++e) {
            detail::for_each_product([&](const auto& w, planes& to) {
                to.assign(e, detail::decoded_matrix(w, e).view());
            }, bank, *this);
        }
    }
    // Inputs count by the rows x [T,D] that a plan sends to each expert.
    template <class B>
    sign_plane_bank(B& b, const bank_type& bank, input_view<float> x, const plan_view& plan, int bits)
        : sign_plane_bank(bank, bits) {
        detail::check_calibration(bank.features(), bank.experts(), x, plan);
        const auto hidden = detail::rows_of(b, bank, x, plan).hidden;
        for (index_t e = 0; e < bank.experts(); ++e) {
            if (plan.count(e) == 0) continue;
            const auto inputs = detail::column_moments(x, {plan.offset, plan.token}, e);
            const auto of_hidden = detail::column_moments(hidden, {plan.offset, {}}, e);
            if constexpr (is_gated<Activation>) gate.assign(e, detail::decoded_matrix(bank.gate, e).view(), inputs);
            up.assign(e, detail::decoded_matrix(bank.up, e).view(), inputs);
            down.assign(e, detail::decoded_matrix(bank.down, e).view(), of_hidden);
        }
    }

    int bits() const { return up.bits(); }

    bank_type at(int bits) const {
        bank_type to({.features = up.inputs(), .hidden = up.outputs(), .experts = up.groups(),
                      .bias = up_bias_.size() != 0, .seed = no_draw, .outputs = down.outputs()}, activation);
        to.gate_bias = gate_bias_;
        to.up_bias = up_bias_;
        to.down_bias = down_bias_;
        detail::for_each_product([&](panels<float>& w, const planes& from) {
            matrix<float> m(w.outputs(), w.inputs());
            for (index_t e = 0; e < w.groups(); ++e) {
                from.read(e, bits, m.view());
                w.assign(e, m.view());
            }
        }, to, *this);
        return to;
    }

private:
    static planes of(const panels<float>& w, int bits) { return planes(w.groups(), w.outputs(), w.inputs(), bits); }

    void keep_biases(const bank_type& bank) {
        gate_bias_ = bank.gate_bias;
        up_bias_ = bank.up_bias;
        down_bias_ = bank.down_bias;
    }

    matrix<float> gate_bias_, up_bias_, down_bias_;
};

MOE_END
