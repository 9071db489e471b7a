// io: the element types of safetensors files: their names and sizes, and what C++ type each is read into
// SPDX-License-Identifier: Apache-2.0
//
// source        github.com/huggingface/safetensors, safetensors/src/tensor.rs, version 0.8
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "moe/core/config.hpp"

MOE_BEGIN

// In the order in which the format sorts: a file holds the last type first.
enum class stored_type : std::uint8_t {
    boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
    i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64
};

namespace detail {

struct stored_type_entry {
    std::string_view name;
    unsigned bits;
};

inline constexpr std::array<stored_type_entry, 22> stored_types{{
    {"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16}, {"BF16", 16},
    {"I32", 32}, {"U32", 32}, {"F32", 32}, {"C64", 64}, {"F64", 64}, {"I64", 64}, {"U64", 64},
}};

}  // namespace detail

constexpr std::string_view name_of(stored_type type) { return detail::stored_types[std::size_t(type)].name; }
constexpr unsigned bits_of(stored_type type) { return detail::stored_types[std::size_t(type)].bits; }

constexpr std::optional<stored_type> stored_type_named(std::string_view name) {
    for (std::size_t i = 0; i < detail::stored_types.size(); ++i) {
        if (detail::stored_types[i].name == name) return static_cast<stored_type>(i);
    }
    return std::nullopt;
}

MOE_END
