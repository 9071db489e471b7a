// fuzz: bytes that claim to be a saved model either load completely or throw io_error and leave the model as it was
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moe/io/save.hpp"
#include "moe/moe.hpp"

namespace {

auto small_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<float>{{.features = 2, .experts = 2}}, moe::selection_bias{2}, moe::top_k{.k = 1}},
        moe::swiglu_bank<float>{{.features = 2, .hidden = 1, .experts = 2}}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto layer = small_layer();
    const auto before = moe::to_bytes(layer);
    std::vector<unsigned char> bytes(data, data + size);
    // Half of the inputs get the checksum that belongs to them, so that the parser behind it is reached.
    const bool sealed = size >= 8 && (data[0] & 1) != 0;
    if (sealed) {
        bytes.resize(size - 8);
        moe::detail::append(bytes, moe::detail::fnv1a(bytes));
    }
    try {
        moe::from_bytes(bytes, layer);
        if (moe::to_bytes(layer) != bytes) std::abort();
    } catch (const moe::io_error&) {
        if (moe::to_bytes(layer) != before) std::abort();
    }
    return 0;
}
