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
    moe::matrix<float> out(static_cast<moe::index_t>(std::min<std::uint64_t>(t.rows(), 8)), static_cast<moe::index_t>(t.cols()));
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
            const bool inside = t.codes->bytes.empty() || (t.codes->bytes.data() >= data &&
                                                           t.codes->bytes.data() + t.codes->bytes.size() <= data + size);
            if (!inside) std::abort();
            read_some(t);
        }
    } catch (const moe::io_error&) {
    }
    return 0;
}
