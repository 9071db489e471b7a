// fuzz: bytes that claim to be a safetensors file are refused with io_error, or every weight in them can be read
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moe/io/checkpoint_tensor.hpp"
#include "moe/io/safetensors.hpp"

namespace {

// Reads a few rows and counts those that are refused for their values or types.
template <class T, class Tensor>
void read_some(const Tensor& t) {
    constexpr std::uint64_t most = 4096;
    if (t.cols() > most) return;
    const auto rows = static_cast<moe::index_t>(std::min<std::uint64_t>(t.rows(), 8));
    const auto cols = static_cast<moe::index_t>(t.cols());
    std::vector<T> out(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    try {
        t.read(t.rows() - std::uint64_t(rows), moe::matrix_view<T>{out.data(), rows, cols});
    } catch (const moe::io_error&) {
    }
}

void read_all(std::span<const unsigned char> file) {
    const moe::detail::safetensors_header header(file, "bytes");
    std::size_t bytes = 0;
    moe::detail::stored_by_name by_name;
    for (const moe::stored_tensor& t : header.tensors) {
        bytes += t.bytes.size();
        read_some<double>(t);
        read_some<std::int16_t>(t);
        if (!by_name.emplace(t.name, &t).second) std::abort();
    }
    std::uint64_t length;
    std::memcpy(&length, file.data(), sizeof length);
    if (bytes + length + 8 != file.size()) std::abort();
    for (const moe::checkpoint_tensor& t : moe::detail::weights_of(by_name)) read_some<float>(t);
}

}  // namespace

// As it stands, and as a header without its length in front of 64 bytes of data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<unsigned char> file(data, data + size);
    std::vector<unsigned char> header;
    for (unsigned i = 0; i < 8; ++i) header.push_back((size >> (8 * i)) & 255);
    header.insert(header.end(), file.begin(), file.end());
    for (unsigned char i = 0; i < 64; ++i) header.push_back(i);
    for (const auto& bytes : {file, header}) {
        try {
            read_all(bytes);
        } catch (const moe::io_error&) {
        }
    }
    return 0;
}
