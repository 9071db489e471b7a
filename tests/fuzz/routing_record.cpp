// fuzz: bytes that claim to be a routing record are refused with io_error or are the bytes of that record
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moe/io/routing_record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<unsigned char> bytes(data, data + size);
    // Half of the inputs get the checksum that belongs to them, so that the parser behind it is reached.
    if (size >= 8 && (data[size - 1] & 1) != 0) {
        bytes.resize(size - 8);
        moe::detail::append(bytes, moe::detail::fnv1a(bytes));
    }
    try {
        const auto record = moe::routing_record::from_bytes(bytes);
        if (record.to_bytes() != bytes) std::abort();
        moe::batch<float> in;
        in.x = {nullptr, record.tokens(), 0};
        record.replay_in(in, record.experts(), record.k());
        if (in.replay_offset.back() != moe::index_t(in.replay_expert.size())) std::abort();
    } catch (const moe::io_error&) {
    }
    return 0;
}
