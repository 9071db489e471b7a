// tests/testing: the weights of banks as the oracle takes them, and random ones
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "testing/oracle_support.hpp"

template <class Activation>
oracle::ffn weights_of(const moe::ffn_bank<double, Activation>& bank, const oracle::function_of_two& act) {
    return {act, values(bank.gate), values(bank.up), values(bank.down), values(bank.gate_bias.view()),
            values(bank.up_bias.view()), values(bank.down_bias.view())};
}

// Every parameter gets normal numbers, so that none stays at a start value of 0; padding of panels stays 0.
inline void fill_random(moe::panels<double>& w, std::uint64_t seed) {
    for (moe::index_t g = 0; g < w.groups(); ++g) {
        w.assign(g, moe::testing::random_matrix<double>(w.outputs(), w.inputs(), seed + 100 * std::uint64_t(g), 0.5).view());
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
