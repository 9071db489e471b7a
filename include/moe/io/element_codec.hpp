// io: elements as they lie in a file <-> elements of a C++ type
// SPDX-License-Identifier: Apache-2.0
//
//     stored                                  read into                               written from
//     F64 F32 F16 BF16                        float, double, bfloat16 (rounded once)  float, double (rounded once)
//     F8_E4M3 F8_E5M2 F8_E8M0                 float, double, bfloat16 (exact)         -
//     BOOL, I8 to I64, U8 to U64              integers that hold every value          integers, as above
//     F8_E4M3 F8_E5M2 F8_E8M0                 std::uint8_t: the codes themselves      std::uint8_t
//
// Nothing else is converted: an integer never becomes a float on the way, nor a float an integer. Bytes are
// little-endian and need no alignment. What holds for bfloat16 holds for every storage format of this library: a class
// that is made of a float or double and becomes a float. Its own codes in a file keep their values (NaN becomes quiet).
#pragma once

#include <concepts>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "moe/core/float_codes.hpp"
#include "moe/io/stored_type.hpp"

MOE_BEGIN

namespace detail {

// A format in which weights are kept and not computed with: bfloat16.
template <class T>
concept short_float = std::is_class_v<T> && sizeof(T) == 2 && std::constructible_from<T, double> &&
                      std::constructible_from<T, float> && std::convertible_to<T, float>;
template <class T>
concept floating_element = std::same_as<T, float> || std::same_as<T, double> || short_float<T>;

// In what values of T are computed before they are kept.
template <class T>
using wide_element = std::conditional_t<std::is_class_v<T>, float, T>;

}  // namespace detail

// What tensors of a file are read into and, but for the storage formats, written from.
template <class T>
concept tensor_element = detail::floating_element<T> || (std::integral<T> && !std::same_as<T, bool>);

namespace detail {

static_assert(std::endian::native == std::endian::little,
              "moe: files are read and written on little-endian machines only");

// Converts elements; returns the first that the other side does not hold, or their number.
template <class T>
using element_decoder = std::size_t (*)(const unsigned char* in, std::span<T> out);
template <class T>
using element_encoder = std::size_t (*)(std::span<const T> in, unsigned char* out);

template <class T, class Code, auto value>
std::size_t decode_elements(const unsigned char* in, std::span<T> out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
        Code code;
        std::memcpy(&code, in + i * sizeof(Code), sizeof(Code));
        const auto v = value(code);
        if constexpr (std::is_integral_v<T>) {
            if (!std::in_range<T>(v)) return i;
        }
        out[i] = static_cast<T>(v);
    }
    return out.size();
}

template <class T, class Code, auto code_of>
std::size_t encode_elements(std::span<const T> in, unsigned char* out) {
    for (std::size_t i = 0; i < in.size(); ++i) {
        if constexpr (std::is_integral_v<T>) {
            if (!std::in_range<Code>(in[i])) return i;
        }
        const Code code = code_of(in[i]);
        std::memcpy(out + i * sizeof(Code), &code, sizeof(Code));
    }
    return in.size();
}

template <class Code>
constexpr Code same_value(Code code) {
    return code;
}
template <class Code, class T>
constexpr Code cast_value(T value) {
    return static_cast<Code>(value);
}

template <class T>
element_decoder<T> float_decoder(stored_type type) {
    switch (type) {
        case stored_type::f64: return &decode_elements<T, double, same_value<double>>;
        case stored_type::f32: return &decode_elements<T, float, same_value<float>>;
        case stored_type::f16: return &decode_elements<T, std::uint16_t, from_f16>;
        case stored_type::bf16: return &decode_elements<T, std::uint16_t, from_bf16>;
        case stored_type::f8_e4m3: return &decode_elements<T, std::uint8_t, from_e4m3>;
        case stored_type::f8_e5m2: return &decode_elements<T, std::uint8_t, from_e5m2>;
        case stored_type::f8_e8m0: return &decode_elements<T, std::uint8_t, from_e8m0>;
        default: return nullptr;
    }
}

constexpr bool is_coded_byte(stored_type type) {
    return type == stored_type::f8_e4m3 || type == stored_type::f8_e5m2 || type == stored_type::f8_e8m0;
}

// Calls f with a value of the integer type, false if it is none.
template <class F>
bool with_integer(stored_type type, const F& f) {
    switch (type) {
        case stored_type::boolean:
        case stored_type::u8: return f(std::uint8_t{}), true;
        case stored_type::i8: return f(std::int8_t{}), true;
        case stored_type::u16: return f(std::uint16_t{}), true;
        case stored_type::i16: return f(std::int16_t{}), true;
        case stored_type::u32: return f(std::uint32_t{}), true;
        case stored_type::i32: return f(std::int32_t{}), true;
        case stored_type::u64: return f(std::uint64_t{}), true;
        case stored_type::i64: return f(std::int64_t{}), true;
        default: return false;
    }
}

// nullptr where the type is not read into T.
template <tensor_element T>
element_decoder<T> decoder_of(stored_type type) {
    if constexpr (floating_element<T>) {
        return float_decoder<T>(type);
    } else {
        element_decoder<T> found = nullptr;
        with_integer(type, [&]<class Code>(Code) { found = &decode_elements<T, Code, same_value<Code>>; });
        if (std::is_same_v<T, std::uint8_t> && is_coded_byte(type)) return decoder_of<T>(stored_type::u8);
        return found;
    }
}

// nullptr where the type is not written from T.
template <tensor_element T>
element_encoder<T> encoder_of(stored_type type) {
    if constexpr (std::is_floating_point_v<T>) {
        switch (type) {
            case stored_type::f64: return &encode_elements<T, double, cast_value<double, T>>;
            case stored_type::f32: return &encode_elements<T, float, cast_value<float, T>>;
            case stored_type::f16: return &encode_elements<T, std::uint16_t, to_f16>;
            case stored_type::bf16: return &encode_elements<T, std::uint16_t, to_bf16>;
            default: return nullptr;
        }
    } else {
        element_encoder<T> found = nullptr;
        with_integer(type, [&]<class Code>(Code) { found = &encode_elements<T, Code, cast_value<Code, T>>; });
        if (std::is_same_v<T, std::uint8_t> && is_coded_byte(type)) return encoder_of<T>(stored_type::u8);
        return found;
    }
}

}  // namespace detail

MOE_END
