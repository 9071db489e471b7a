// io: a value of a GGUF file's metadata, as it lies in the file
// SPDX-License-Identifier: Apache-2.0
//
//     0-5 uint8 int8 uint16 int16 uint32 int32    6 float32    7 bool, one byte    8 string: uint64 length, bytes
//     9 array: uint32 type, uint64 count, values  10 uint64    11 int64            12 float64
//
// A value is checked and passed over, not copied: the words of a vocabulary cost a walk. Arrays of arrays are refused,
// as llama.cpp refuses them.
//
// errors        io_error naming file, key, wanted and got: a type that there is not, lengths and counts past the end, a
//               bool that is neither 0 nor 1
// source        github.com/ggml-org/ggml, docs/gguf.md, version 3
#pragma once

#include <algorithm>

#include "moe/io/byte_file.hpp"
#include "moe/io/json.hpp"

MOE_BEGIN

enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

namespace detail {

// Bytes of a value; 0 where it has no fixed size.
constexpr std::size_t size_of(gguf_type type) {
    constexpr std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return sizes[static_cast<std::size_t>(type)];
}

template <class N>
json_value number_at(const unsigned char* p) {
    N n;
    std::memcpy(&n, p, sizeof n);
    return n;
}

inline json_value scalar_at(gguf_type type, const unsigned char* p) {
    switch (type) {
        case gguf_type::u8: return number_at<std::uint8_t>(p);
        case gguf_type::i8: return number_at<std::int8_t>(p);
        case gguf_type::u16: return number_at<std::uint16_t>(p);
        case gguf_type::i16: return number_at<std::int16_t>(p);
        case gguf_type::u32: return number_at<std::uint32_t>(p);
        case gguf_type::i32: return number_at<std::int32_t>(p);
        case gguf_type::f32: return number_at<float>(p);
        case gguf_type::u64: return number_at<std::uint64_t>(p);
        case gguf_type::i64: return number_at<std::int64_t>(p);
        case gguf_type::f64: return number_at<double>(p);
        default: return *p != 0;
    }
}

inline std::span<const unsigned char> read_gguf_string(file_reader& file, const std::string& what) {
    const auto length = file.number<std::uint64_t>(what);
    if (length > file.left()) {
        file.fail(what, std::string("a text of at most ") + std::to_string(file.left()) + " bytes",
                  std::to_string(length));
    }
    return file.take(static_cast<std::size_t>(length), what);
}

}  // namespace detail

struct gguf_value {
    gguf_type type = gguf_type::u8;  // of the elements, where it is an array
    bool is_array = false;
    std::uint64_t count = 1;
    std::span<const unsigned char> bytes;  // lives as long as the file; of a text, without its length

    bool is_text() const { return type == gguf_type::text && !is_array; }
    std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

    // Numbers and bools, and arrays of these; null for texts.
    json_value json() const {
        if (type == gguf_type::text) return nullptr;
        if (!is_array) return detail::scalar_at(type, bytes.data());
        json_value list = json_value::array();
        const std::size_t size = detail::size_of(type);
        for (std::size_t at = 0; at < bytes.size(); at += size) {
            list.push_back(detail::scalar_at(type, bytes.data() + at));
        }
        return list;
    }
};

namespace detail {

inline gguf_type read_gguf_type(file_reader& file, const std::string& what) {
    const auto type = file.number<std::uint32_t>(what);
    if (type > std::uint32_t(gguf_type::f64)) file.fail(what, "a type from 0 to 12", std::to_string(type));
    return static_cast<gguf_type>(type);
}

inline void read_gguf_array(file_reader& file, const std::string& what, gguf_value& v) {
    v.is_array = true;
    v.type = read_gguf_type(file, what);
    v.count = file.number<std::uint64_t>(what);
    if (v.type == gguf_type::array) file.fail(what, "an array of numbers or texts", "one of arrays");
    const std::size_t least = v.type == gguf_type::text ? sizeof(std::uint64_t) : size_of(v.type);
    if (v.count > file.left() / least) {
        file.fail(what, std::string("at most ") + std::to_string(file.left() / least) + " elements",
                  std::to_string(v.count));
    }
    if (v.type != gguf_type::text) {
        v.bytes = file.take(static_cast<std::size_t>(v.count) * least, what);
        return;
    }
    for (std::uint64_t i = 0; i < v.count; ++i) (void)read_gguf_string(file, what);
}

inline gguf_value read_gguf_value(file_reader& file, const std::string& what) {
    gguf_value v;
    v.type = read_gguf_type(file, what);
    if (v.type == gguf_type::array) read_gguf_array(file, what, v);
    else if (v.type == gguf_type::text) v.bytes = read_gguf_string(file, what);
    else v.bytes = file.take(size_of(v.type), what);
    const bool other = v.type == gguf_type::boolean &&
                       std::any_of(v.bytes.begin(), v.bytes.end(), [](unsigned char b) { return b > 1; });
    if (other) file.fail(what, "0 or 1 for a bool", "another byte");
    return v;
}

}  // namespace detail

MOE_END
