// backend/dispatch: the arguments of verbs as plain data, and back
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/backend/dispatch/table.hpp"
#include "moe/backend/kernels.hpp"
#include "moe/core/quantized_panels.hpp"

MOE_BEGIN

namespace detail {

// The place of a pair of scalar and container of weights among those of a table; -1: none.
template <class T, class W>
inline constexpr crossing::index crossing_format = -1;
template <>
inline constexpr crossing::index crossing_format<float, panels<float>> = crossing::float_weights;
template <>
inline constexpr crossing::index crossing_format<double, panels<double>> = crossing::double_weights;
template <>
inline constexpr crossing::index crossing_format<float, bf16_panels> = crossing::bf16_weights;
template <>
inline constexpr crossing::index crossing_format<float, f16_panels> = crossing::f16_weights;
template <>
inline constexpr crossing::index crossing_format<float, int8_panels<32>> = crossing::int8_weights;
template <>
inline constexpr crossing::index crossing_format<float, int4_panels<32>> = crossing::int4_weights;
template <>
inline constexpr crossing::index crossing_format<float, int4_zero_panels<32>> = crossing::int4_zero_weights;

template <class T, class W>
inline constexpr bool has_level_product = crossing_format<T, W> >= 0;

inline crossing::indices to_crossing(std::span<const index_t> s) { return {s.data(), s.size()}; }
inline crossing::row_groups to_crossing(const row_groups& r) { return {to_crossing(r.offset), to_crossing(r.gather)}; }
inline crossing::plan to_crossing(const plan_view& p) {
    return {p.tokens,
            to_crossing(p.offset),
            to_crossing(p.token),
            to_crossing(p.slot),
            to_crossing(p.row),
            to_crossing(p.token_offset),
            to_crossing(p.token_row),
            to_crossing(p.row_begin)};
}
// Constness is the verb's matter.
template <class T>
crossing::matrix to_crossing(matrix_view<T> m) {
    return {const_cast<std::remove_const_t<T>*>(m.data), m.rows, m.cols, m.stride};
}
template <class T, index_t together>
crossing::weights to_crossing(const panels<T, together>& w) {
    return {const_cast<T*>(w.span().data()), w.span().size(), w.groups(), w.outputs(), w.inputs()};
}
template <class Format>
crossing::weights to_crossing(const quantized_panels<Format>& w) {
    return {const_cast<code_byte<Format>*>(w.span().data()), w.span().size(), w.groups(), w.outputs(), w.inputs()};
}

inline std::span<const index_t> from_crossing(const crossing::indices& i) { return {i.data, i.size}; }
inline row_groups from_crossing(const crossing::row_groups& r) {
    return {from_crossing(r.offset), from_crossing(r.gather)};
}
inline plan_view from_crossing(const crossing::plan& p) {
    return {p.tokens,
            from_crossing(p.offset),
            from_crossing(p.token),
            from_crossing(p.slot),
            from_crossing(p.row),
            from_crossing(p.token_offset),
            from_crossing(p.token_row),
            from_crossing(p.row_begin)};
}
template <class T>
matrix_view<T> from_crossing(const crossing::matrix& m) {
    return {static_cast<T*>(m.data), m.rows, m.columns, m.stride};
}

// The program's memory, which it releases itself.
struct memory_of_program : host_memory {
    static void release(void*, std::size_t) noexcept {}
};

// Weights of the program as a container: W is panels<T> or another that is made of sizes and a buffer.
template <class W>
W from_crossing(const crossing::weights& w) {
    using E = typename W::value_type;
    return W(w.groups, w.outputs, w.inputs, {static_cast<E*>(w.data), w.elements, space_of<memory_of_program>});
}

}  // namespace detail

MOE_END
