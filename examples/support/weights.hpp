// examples/support/weights: how many weights a model has, and what their bits are
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "moe/core/rng.hpp"
#include "moe/core/tensor_ref.hpp"

namespace example {

// Weights and states, padding not counted.
template <class Model>
std::size_t parameter_count(Model& model) {
    std::size_t count = 0;
    moe::for_each_tensor(
        model, [&](const moe::parameter_name&, const moe::tensor_ref& tensor) { count += tensor.shape().elements(); });
    return count;
}

// FNV-1a over the bits of all weights and states, in the order in which they are visited.
template <class Model>
std::uint64_t weights_hash(Model& model) {
    std::uint64_t hash = moe::stream_id("");
    std::vector<double> values;  // aligned for either scalar
    moe::for_each_tensor(model, [&](const moe::parameter_name&, const moe::tensor_ref& tensor) {
        values.resize(tensor.bytes() / sizeof(double) + 1);
        tensor.read(values.data());
        const auto* const bytes = reinterpret_cast<const unsigned char*>(values.data());
        for (std::size_t i = 0; i < tensor.bytes(); ++i) hash = (hash ^ bytes[i]) * 1099511628211ull;
    });
    return hash;
}

// 16 hexadecimal digits.
inline std::string hash_text(std::uint64_t hash) {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
    return digits;
}

}  // namespace example
