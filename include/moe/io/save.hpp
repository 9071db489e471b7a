// io: a whole model to a file and back, bit for bit
// SPDX-License-Identifier: Apache-2.0
//
// save(path, model) writes every parameter and every state of a layer, an any_layer or a user's model with `parameters`;
// load(path, model) sets them. All numbers are little-endian; tensors are row-major, whatever their layout in memory, so a
// file moves between instruction sets.
//
//     8 bytes    "moe\r\n\x1a\n\0"            4 bytes    format version, 1           4 bytes    number of tensors
//     a tensor   4 bytes length of its name, the name, 1 byte scalar (1 float32, 2 float64, 3 bfloat16, 4 float16; of
//                weights in codes 128 + group / 32 + 8 (bits / 4), and 64 with zero points), 1 byte rank (0 to 3),
//                4 bytes for each dimension, the elements (of codes: bytes as in core/quantized_panels.hpp)
//     8 bytes    FNV-1a of everything before it
//
// errors        io_error naming file and tensor: unreadable, truncated, damaged, another version, other names or shapes.
//               A file is verified as a whole before anything is set: a failed load leaves the model as it was
// save          writes beside the file and renames, so a failed save leaves the old file
#pragma once

#include "moe/core/tensor_ref.hpp"
#include "moe/io/byte_file.hpp"

MOE_BEGIN

namespace detail {

inline constexpr char file_magic[8] = {'m', 'o', 'e', '\r', '\n', '\x1a', '\n', '\0'};
inline constexpr std::uint32_t file_version = 1;

inline void check_tensor(file_reader& file, const std::string& name, const tensor_ref& tensor) {
    const auto length = file.number<std::uint32_t>("length of the name of a tensor");
    const auto text = file.take(length, "name of a tensor");
    const std::string found(text.begin(), text.end());
    if (found != name) file.fail("next tensor", name, found);
    const auto type = file.number<std::uint8_t>(name + ": scalar type");
    if (type != static_cast<std::uint8_t>(tensor.type())) {
        file.fail(name, name_of(tensor.type()), name_of(scalar_type{type}));
    }
    tensor_shape shape;
    shape.rank = file.number<std::uint8_t>(name + ": rank");
    if (shape.rank > 3) file.fail(name + ": rank", "at most 3", std::to_string(shape.rank));
    for (std::size_t i = 0; i < shape.rank; ++i) shape.dims[i] = file.number<index_t>(name + ": shape");
    if (!(shape == tensor.shape())) file.fail(name, tensor.shape().text(), shape.text());
}

}  // namespace detail

// The bytes of a model, as save writes them.
template <class Model>
std::vector<unsigned char> to_bytes(Model& model) {
    std::vector<unsigned char> out(detail::file_magic, detail::file_magic + 8);
    std::uint32_t count = 0;
    for_each_tensor(model, [&](const parameter_name&, const tensor_ref&) { ++count; });
    detail::append(out, detail::file_version);
    detail::append(out, count);
    for_each_tensor(model, [&](const parameter_name& name, const tensor_ref& tensor) {
        const std::string text = name.text();
        detail::append(out, static_cast<std::uint32_t>(text.size()));
        out.insert(out.end(), text.begin(), text.end());
        out.push_back(static_cast<unsigned char>(tensor.type()));
        out.push_back(static_cast<unsigned char>(tensor.shape().rank));
        for (std::size_t i = 0; i < tensor.shape().rank; ++i) detail::append(out, tensor.shape().dims[i]);
        // Element storage needs its alignment: read into a typed buffer, then append its bytes.
        std::vector<double> values((tensor.bytes() + sizeof(double) - 1) / sizeof(double));
        tensor.read(values.data());
        const auto* p = reinterpret_cast<const unsigned char*>(values.data());
        out.insert(out.end(), p, p + tensor.bytes());
    });
    detail::append(out, detail::fnv1a(out));
    return out;
}

// Sets a model from bytes; `path` is only named in errors.
template <class Model>
void from_bytes(std::span<const unsigned char> bytes, Model& model, const std::string& path = "bytes") {
    detail::file_reader whole(bytes, path);
    if (bytes.size() < 24) whole.fail("size", "at least 24 bytes", std::to_string(bytes.size()));
    if (std::memcmp(bytes.data(), detail::file_magic, 8) != 0) whole.fail("first bytes", "a file saved by moe", "another");
    detail::file_reader file(bytes.subspan(8, bytes.size() - 16), path);
    const auto version = file.number<std::uint32_t>("version");
    if (version != detail::file_version) {
        file.fail("version", std::to_string(detail::file_version), std::to_string(version));
    }
    std::uint64_t sum;
    std::memcpy(&sum, bytes.data() + bytes.size() - 8, 8);
    if (sum != detail::fnv1a(bytes.first(bytes.size() - 8))) {
        whole.fail("checksum", "that of the content", "another (truncated or damaged)");
    }
    std::uint32_t count = 0;
    for_each_tensor(model, [&](const parameter_name&, const tensor_ref&) { ++count; });
    const auto stored = file.number<std::uint32_t>("number of tensors");
    if (stored != count) file.fail("number of tensors", std::to_string(count), std::to_string(stored));

    std::vector<std::span<const unsigned char>> content;
    for_each_tensor(model, [&](const parameter_name& name, const tensor_ref& tensor) {
        const std::string text = name.text();
        detail::check_tensor(file, text, tensor);
        content.push_back(file.take(tensor.bytes(), text));
    });
    if (file.left() != 0) file.fail("end", "no more bytes", std::to_string(file.left()) + " bytes");

    std::size_t next = 0;
    std::vector<double> values;
    for_each_tensor(model, [&](const parameter_name&, tensor_ref tensor) {
        const auto& source = content[next++];
        values.resize((source.size() + sizeof(double) - 1) / sizeof(double));
        if (!source.empty()) std::memcpy(values.data(), source.data(), source.size());
        tensor.set(values.data());
    });
}

template <class Model>
void save(const std::string& path, Model& model) {
    detail::write_file(path, to_bytes(model));
}

template <class Model>
void load(const std::string& path, Model& model) {
    from_bytes(detail::read_file(path), model, path);
}

MOE_END
