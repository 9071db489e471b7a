// fuzz: text that claims to be JSON or an index of shards is refused with io_error, or means the same written again
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moe/io/shard_index.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const moe::json_value value = moe::parse_json(text, "bytes");
        if (moe::parse_json(value.dump(), "bytes").dump() != value.dump()) std::abort();
        for (const auto& [tensor, file] : moe::parse_shard_index(text, "bytes").file_of) {
            if (file.empty() || file == ".." || file.find_first_of("/\\:") != std::string::npos) std::abort();
        }
    } catch (const moe::io_error&) {
    }
    return 0;
}
