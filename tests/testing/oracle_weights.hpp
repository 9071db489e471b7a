// tests/testing: the weights of banks as the oracle takes them, and random ones
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "testing/oracle_support.hpp"

template <class Activation>
oracle::ffn weights_of(const moe::ffn_bank<double, Activation>& bank, const oracle::function_of_two& act) {
    const auto weight = [](const auto& w, const auto& bias) {
        return oracle::weight{values(w), values(bias.view()), {}, {}};
    };
    return {act, weight(bank.gate, bank.gate_bias), weight(bank.up, bank.up_bias), weight(bank.down, bank.down_bias)};
}

inline oracle::function_of_two plain(const oracle::function& act) {
    return [=](double, double u) { return act(u); };
}
inline double swiglu(double g, double u) { return oracle::gated(g, u, oracle::silu); }

// Every parameter gets normal numbers, so that none stays at a start value of 0; padding of panels stays 0.
inline void fill_random(moe::panels<double>& w, std::uint64_t seed) {
    for (moe::index_t g = 0; g < w.groups(); ++g) {
        w.assign(
            g, moe::testing::random_matrix<double>(w.outputs(), w.inputs(), seed + 100 * std::uint64_t(g), 0.5).view());
    }
}
template <class Tensor>
void fill_random(Tensor& tensor, std::uint64_t seed) {
    const auto values = moe::flat(tensor);
    const auto random = moe::testing::random_matrix<double>(1, moe::index_t(values.size()), seed, 0.5);
    std::copy_n(random.data(), values.size(), values.data());
}
template <class Part>
void randomise(Part& part, std::uint64_t seed) {
    moe::visit_parameters([&](const moe::parameter_name&, auto& tensor) { fill_random(tensor, seed += 1000); }, part);
}
