// io: a GGUF file, as llama.cpp reads them -> its metadata and tensors, by name, mapped into memory
// SPDX-License-Identifier: Apache-2.0
//
//     moe::gguf_file file("model.gguf");
//     file.value("general.architecture")->text();
//     file.at("blk.0.ffn_gate_exps.weight").read(e * h, expert.view());  // the rows of expert e of [E,H,D], as floats
//
//     "GGUF", uint32 version (2 or 3), uint64 number of tensors, uint64 number of values
//     values     key, uint32 type, value (gguf_value.hpp)
//     tensors    name, uint32 rank (at most 4), uint64 dimensions, columns first, uint32 type, uint64 offset
//     data       from the next multiple of general.alignment (32) on; offsets count from there and are multiples of it
//
// Shapes are given rows first, as everywhere here. The header is checked as a whole when the file is opened: afterwards
// no read can leave the file. Tensors of types that are not decoded (ggml_block.hpp) are listed and refused when read.
//
// errors        io_error naming file, key or tensor, wanted and got: whatever is not as above; keys and tensors that
//               occur twice, tensors that overlap, files of big-endian machines
// source        github.com/ggml-org/ggml, docs/gguf.md, version 3
#pragma once

#include <algorithm>
#include <map>

#include "moe/io/checkpoint_tensor.hpp"
#include "moe/io/gguf_value.hpp"
#include "moe/io/safetensors.hpp"

MOE_BEGIN

namespace detail {

// The type whose elements lie in the file as they are; none for blocks.
inline std::optional<stored_type> plain_type(const ggml_format& f) {
    return f.elements == 1 ? stored_type_named(f.name) : std::nullopt;
}

class gguf_header {
public:
    gguf_header(std::span<const unsigned char> file, const std::string& path)
        : reader_(file, path), path_(std::make_shared<const std::string>(path)) {
        const auto magic = reader_.take(4, "first bytes");
        if (std::memcmp(magic.data(), "GGUF", 4) != 0) reader_.fail("first bytes", "'GGUF'", "another file");
        const auto version = reader_.number<std::uint32_t>("version");
        if (version != 2 && version != 3) {
            const bool swapped = version == 0x02000000u || version == 0x03000000u;
            reader_.fail("version", "2 or 3", swapped ? "that of a big-endian machine" : std::to_string(version));
        }
        const std::uint64_t count = counted("number of tensors", 24);
        const std::uint64_t keys = counted("number of values", 13);
        for (std::uint64_t i = 0; i < keys; ++i) read_entry();
        const std::uint64_t alignment = read_alignment();
        for (std::uint64_t i = 0; i < count; ++i) read_tensor(alignment);
        place(file, alignment);
    }

    std::map<std::string, gguf_value, std::less<>> values;
    std::vector<stored_tensor> stored;       // by name
    std::vector<checkpoint_tensor> weights;  // of the same order

private:
    // A number of things that have at least `least` bytes each.
    std::uint64_t counted(const std::string& what, std::size_t least) {
        const auto n = reader_.number<std::uint64_t>(what);
        if (n <= reader_.left() / least) return n;
        reader_.fail(what, std::string("at most ") + std::to_string(reader_.left() / least) + " in a file of this size",
                     std::to_string(n));
    }

    void read_entry() {
        const auto name = read_gguf_string(reader_, "key");
        const std::string key(name.begin(), name.end());
        const std::string what = "key " + excerpt(key);
        const bool fresh = values.emplace(key, read_gguf_value(reader_, what)).second;
        if (!fresh) reader_.fail(what, "every key once", "it twice");
    }

    std::uint64_t read_alignment() const {
        const auto found = values.find("general.alignment");
        if (found == values.end()) return 32;
        const json_value v = found->second.json();
        const bool number = found->second.type == gguf_type::u32 && v.is_number();
        const bool fits = number && std::has_single_bit(v.get<std::uint32_t>());
        if (!fits) reader_.fail("general.alignment", "a power of two of type uint32", v.dump());
        return v.get<std::uint32_t>();
    }

    void read_tensor(std::uint64_t alignment) {
        const auto text = read_gguf_string(reader_, "name of a tensor");
        const std::string name(text.begin(), text.end());
        const std::string what = "tensor " + excerpt(name);
        const auto rank = reader_.number<std::uint32_t>(what);
        if (rank > 4) reader_.fail(what, "at most 4 dimensions", std::to_string(rank));
        stored_shape shape(rank);
        for (auto d = shape.rbegin(); d != shape.rend(); ++d) *d = reader_.number<std::uint64_t>(what);
        const auto type = reader_.number<std::uint32_t>(what);
        const ggml_format* format = ggml_format_of(type);
        if (format == nullptr) reader_.fail(what, "a type of ggml", std::string("number ") + std::to_string(type));
        const auto offset = reader_.number<std::uint64_t>(what);
        if (offset % alignment != 0) {
            reader_.fail(what, std::string("an offset that is a multiple of ") + std::to_string(alignment),
                         std::to_string(offset));
        }
        const stored_shape in_bytes = bytes_of(what, shape, *format);
        const auto plain = plain_type(*format);
        stored.push_back({name, plain.value_or(stored_type::u8), plain ? shape : in_bytes, {}, path_});
        const auto packing = plain ? weight_packing::plain : weight_packing::ggml_blocks;
        weights.push_back({name, shape, packing, nullptr, nullptr, format});
        ranges_.push_back({offset, rows_of(in_bytes) * columns_of(in_bytes)});
    }

    // The shape with bytes as columns; its product has no overflow.
    stored_shape bytes_of(const std::string& what, stored_shape shape, const ggml_format& f) const {
        constexpr std::uint64_t largest = ~std::uint64_t{0};
        const std::string text = std::string(f.name) + " " + shape_text(shape);
        if (columns_of(shape) % f.elements != 0) {
            reader_.fail(what, std::string("columns in blocks of ") + std::to_string(f.elements), text);
        }
        const std::uint64_t blocks = columns_of(shape) / f.elements;
        std::uint64_t size = blocks > largest / f.bytes ? largest : blocks * f.bytes;
        bool fits = size != largest;
        if (shape.empty()) shape.push_back(1);
        shape.back() = size;
        for (std::size_t i = 0; i + 1 < shape.size() && fits; ++i) {
            fits = shape[i] == 0 || size <= largest / shape[i];
            size *= fits ? shape[i] : 1;
        }
        // Leading dimensions without columns could overflow where rows are counted.
        std::uint64_t rows = 1;
        for (std::size_t i = 0; i + 1 < shape.size() && fits; ++i) {
            fits = shape[i] == 0 || rows <= largest / shape[i];
            rows *= fits ? shape[i] : 1;
        }
        if (!fits) reader_.fail(what, "a shape with fewer than 2^64 bytes", text);
        return shape;
    }

    // Finds the bytes of the tensors and sorts them by name.
    void place(std::span<const unsigned char> file, std::uint64_t alignment) {
        const std::uint64_t header = file.size() - reader_.left();
        const std::uint64_t begin = (header + alignment - 1) / alignment * alignment;
        const std::uint64_t size = begin < file.size() ? file.size() - begin : 0;
        std::vector<std::size_t> order(stored.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return ranges_[a] < ranges_[b]; });
        std::uint64_t end = 0;
        for (const std::size_t i : order) {
            const auto [offset, bytes] = ranges_[i];
            const std::string what = "tensor " + excerpt(stored[i].name);
            if (offset > size || bytes > size - offset) {
                reader_.fail(what, std::string("data inside the ") + std::to_string(size) + " bytes behind the header",
                             std::to_string(bytes) + " bytes at " + std::to_string(offset));
            }
            if (bytes == 0) continue;
            if (offset < end) reader_.fail(what, "data of its own", "some that another tensor has");
            stored[i].bytes = file.subspan(static_cast<std::size_t>(begin + offset), static_cast<std::size_t>(bytes));
            end = offset + bytes;
        }
        const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
        std::sort(stored.begin(), stored.end(), by_name);
        std::sort(weights.begin(), weights.end(), by_name);
        for (std::size_t i = 0; i < stored.size(); ++i) {
            weights[i].codes = &stored[i];
            if (i != 0 && stored[i].name == stored[i - 1].name) {
                reader_.fail("tensor " + excerpt(stored[i].name), "every tensor once", "it twice");
            }
        }
    }

    file_reader reader_;
    std::shared_ptr<const std::string> path_;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;  // offset and bytes of stored[i], until it is sorted
};

}  // namespace detail

class gguf_file {
public:
    explicit gguf_file(const std::string& path) : path_(path), file_(path), header_(file_.bytes(), path) {}

    std::span<const checkpoint_tensor> tensors() const { return header_.weights; }  // by name
    std::span<const stored_tensor> stored() const { return header_.stored; }  // in the same order, blocks as bytes
    const std::map<std::string, gguf_value, std::less<>>& values() const { return header_.values; }
    const std::string& path() const { return path_; }

    // nullptr if there is none.
    const gguf_value* value(std::string_view key) const {
        const auto found = header_.values.find(key);
        return found == header_.values.end() ? nullptr : &found->second;
    }
    const checkpoint_tensor* find(std::string_view name) const { return detail::find_by_name(tensors(), name); }
    const checkpoint_tensor& at(std::string_view name) const {
        const checkpoint_tensor* found = find(name);
        if (found != nullptr) return *found;
        throw io_error(detail::wanted_got(path_, "a tensor " + detail::excerpt(name),
                                          std::string("none of that name among ") + std::to_string(tensors().size())));
    }

private:
    std::string path_;
    mapped_file file_;
    detail::gguf_header header_;
};

MOE_END
