// fuzz: bytes that claim to be a GGUF file are refused with io_error, or every weight in them can be read or is refused
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moe/core/storage.hpp"
#include "moe/io/gguf.hpp"

namespace {

// The last rows, as floats.
void read_some(const moe::checkpoint_tensor& t) {
    constexpr std::uint64_t most = 4096;
    if (t.cols() > most) return;
    const auto rows = static_cast<moe::index_t>(std::min<std::uint64_t>(t.rows(), 8));
    moe::matrix<float> out(rows, static_cast<moe::index_t>(t.cols()));
    try {
        t.read(t.rows() - std::uint64_t(out.rows()), out.view());
    } catch (const moe::io_error&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const moe::detail::gguf_header header({data, size}, "bytes");
        for (const auto& [key, value] : header.values) (void)value.json();
        for (const moe::checkpoint_tensor& t : header.weights) {
            if (t.name != t.codes->name) std::abort();
            const auto bytes = t.codes->bytes;
            const bool inside = bytes.data() >= data && bytes.data() + bytes.size() <= data + size;
            if (!bytes.empty() && !inside) std::abort();
            read_some(t);
        }
    } catch (const moe::io_error&) {
    }
    return 0;
}
