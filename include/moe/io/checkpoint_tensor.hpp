// io: a weight of a checkpoint, whatever it is stored as: plain, FP8 with block scales, MXFP4, or blocks of ggml
// SPDX-License-Identifier: Apache-2.0
//
//     packing      stored as                                        value
//     plain        NAME [..., K] of any type                        the element
//     fp8_blocks   NAME [..., N, K] F8_E4M3 (or F8_E5M2) and        code(n, k) * scale(n / 128, k / 128)
//                  NAME_scale_inv [..., ceil(N/128), ceil(K/128)]
//     mxfp4        NAME_blocks [..., N, K/32, 16] U8 and            e2m1(code) * 2^(scale - 127); the even column of
//                  NAME_scales [..., N, K/32] U8 or F8_E8M0         a pair is the lower half of its byte
//     ggml_blocks  NAME of a GGUF file, in blocks of its format     ggml_block.hpp
//
// Codes are exact in T; a product is rounded once, and where a scale is a power of two that is exact too, unless it
// leaves the range of T. A NaN code or scale gives NaN. Packed weights are read into floating-point types only; an F8
// tensor without scales is refused here, because it is rarely the weight: `codes` reads it as it stands.
//
// errors        io_error naming file, tensor, wanted and got
// source        DeepSeek-V3 inference/kernel.py weight_dequant; OCP microscaling formats 1.0; transformers
//               integrations/mxfp4.py convert_moe_packed_tensors
#pragma once

#include <algorithm>
#include <map>

#include "moe/io/ggml_block.hpp"
#include "moe/io/stored_tensor.hpp"

MOE_BEGIN

enum class weight_packing { plain, fp8_blocks, mxfp4, ggml_blocks };

inline constexpr index_t fp8_block = 128;   // rows and columns that share a scale
inline constexpr index_t mxfp4_block = 32;  // columns that share a scale

namespace detail {

constexpr std::uint64_t blocks_of(std::uint64_t size) { return size / fp8_block + (size % fp8_block != 0 ? 1 : 0); }

inline constexpr std::array<float, 16> e2m1_values = [] {
    std::array<float, 16> values{};
    for (std::uint8_t code = 0; code < 16; ++code) values[code] = from_e2m1(code);
    return values;
}();

}  // namespace detail

struct checkpoint_tensor {
    std::string name;
    stored_shape shape;  // of the weight, not of its codes
    weight_packing packing = weight_packing::plain;
    const stored_tensor* codes = nullptr;
    const stored_tensor* scales = nullptr;  // only of fp8_blocks and mxfp4
    const ggml_format* format = nullptr;    // only of tensors of GGUF files

    std::uint64_t cols() const { return detail::columns_of(shape); }
    std::uint64_t rows() const { return detail::rows_of(shape); }

    // Rows [first_row, first_row + out.rows), as stored_tensor counts them.
    template <class T>
    void read(std::uint64_t first_row, matrix_view<T> out) const {
        if (packing == weight_packing::plain) {
            refuse_bare_codes<T>();
            codes->read(first_row, out);
        } else if constexpr (detail::floating_element<T>) {
            detail::require_rows(where(), shape, first_row, out.rows, out.cols);
            if (packing == weight_packing::fp8_blocks) read_fp8(first_row, out);
            else if (packing == weight_packing::mxfp4) read_mxfp4(first_row, out);
            else read_blocks(first_row, out);
        } else {
            throw io_error(detail::wanted_got(where(), "a type that is read into " + detail::element_name<T>(),
                                              "floating-point codes with scales"));
        }
    }
    template <class T>
    void read(matrix_view<T> out) const {
        if (std::uint64_t(out.rows) != rows()) {
            throw io_error(detail::wanted_got(where(), std::string("all ") + std::to_string(rows()) + " rows of shape " +
                                              detail::shape_text(shape), std::to_string(out.rows)));
        }
        read(0, out);
    }
    // All elements, in row-major order.
    template <class T>
    void read(std::span<T> out) const {
        read(0, detail::view_as(where(), shape, out));
    }

    std::string where() const { return codes->where(); }

private:
    template <class T>
    void refuse_bare_codes() const {
        const bool weights = codes->type == stored_type::f8_e4m3 || codes->type == stored_type::f8_e5m2;
        if (!weights || !detail::floating_element<T>) return;
        throw io_error(detail::wanted_got(where(), "a tensor '" + name + "_scale_inv' beside a weight of type " +
                                          std::string(name_of(codes->type)), "none"));
    }

    template <class T>
    void read_fp8(std::uint64_t first_row, matrix_view<T> out) const {
        using wide = detail::wide_element<T>;
        std::vector<wide> code(static_cast<std::size_t>(out.cols));
        const std::uint64_t group_rows = shape[shape.size() - 2];
        std::vector<wide> scale(static_cast<std::size_t>(scales->cols()));
        const matrix_view<wide> code_row{code.data(), 1, out.cols};
        const matrix_view<wide> scale_row{scale.data(), 1, static_cast<index_t>(scale.size())};
        std::uint64_t read_last = ~std::uint64_t{0};
        for (index_t r = 0; r < out.rows; ++r) {
            const std::uint64_t row = first_row + std::uint64_t(r);
            const std::uint64_t block_row =
                row / group_rows * detail::blocks_of(group_rows) + row % group_rows / fp8_block;
            if (block_row != read_last) scales->read(block_row, scale_row);
            read_last = block_row;
            codes->read(row, code_row);
            for (index_t c = 0; c < out.cols; ++c) {
                out(r, c) = static_cast<T>(code_row(0, c) * scale[static_cast<std::size_t>(c / fp8_block)]);
            }
        }
    }

    template <class T>
    void read_mxfp4(std::uint64_t first_row, matrix_view<T> out) const {
        constexpr std::size_t block_bytes = mxfp4_block / 2;
        const std::size_t blocks = static_cast<std::size_t>(out.cols / mxfp4_block);
        for (index_t r = 0; r < out.rows; ++r) {
            const std::size_t first = static_cast<std::size_t>(first_row + std::uint64_t(r)) * blocks;
            T* to = out.row(r);
            for (std::size_t b = 0; b < blocks; ++b, to += mxfp4_block) {
                const detail::wide_element<T> scale = from_e8m0(scales->bytes[first + b]);
                const auto packed = codes->bytes.subspan((first + b) * block_bytes, block_bytes);
                for (std::size_t i = 0; i < block_bytes; ++i) {
                    to[2 * i] = static_cast<T>(detail::e2m1_values[packed[i] & 15] * scale);
                    to[2 * i + 1] = static_cast<T>(detail::e2m1_values[packed[i] >> 4] * scale);
                }
            }
        }
    }

    template <class T>
    void read_blocks(std::uint64_t first_row, matrix_view<T> out) const {
        if (format->decode == nullptr) {
            throw io_error(detail::wanted_got(where(), "a type that is decoded", std::string(format->name)));
        }
        const index_t wide = static_cast<index_t>(format->elements);
        const std::size_t row_bytes = static_cast<std::size_t>(out.cols / wide) * format->bytes;
        std::array<float, ggml_largest_block> values;
        for (index_t r = 0; r < out.rows; ++r) {
            const std::size_t row = static_cast<std::size_t>(first_row + std::uint64_t(r));
            const unsigned char* from = codes->bytes.data() + row * row_bytes;
            for (index_t c = 0; c < out.cols; c += wide, from += format->bytes) {
                format->decode(from, values.data());
                for (index_t i = 0; i < wide; ++i) out(r, c + i) = static_cast<T>(values[static_cast<std::size_t>(i)]);
            }
        }
    }
};

namespace detail {

inline void require_scale_shape(const checkpoint_tensor& weight, const stored_shape& wanted, const char* blocks) {
    if (weight.scales->shape == wanted) return;
    throw io_error(wanted_got(weight.scales->where(), shape_text(wanted) + " for weights " + shape_text(weight.shape) +
                                                          " in blocks of " + blocks, shape_text(weight.scales->shape)));
}

inline checkpoint_tensor fp8_weight(const stored_tensor& codes, const stored_tensor& scales) {
    checkpoint_tensor w{codes.name, codes.shape, weight_packing::fp8_blocks, &codes, &scales};
    if (w.shape.size() < 2) throw io_error(wanted_got(codes.where(), "at least 2 dimensions", shape_text(w.shape)));
    if (decoder_of<float>(scales.type) == nullptr) {
        throw io_error(wanted_got(scales.where(), "a floating-point type", std::string(name_of(scales.type))));
    }
    stored_shape wanted = w.shape;
    for (std::size_t i = wanted.size() - 2; i < wanted.size(); ++i) wanted[i] = blocks_of(wanted[i]);
    require_scale_shape(w, wanted, "128 x 128");
    return w;
}

inline checkpoint_tensor mxfp4_weight(const std::string& name, const stored_tensor& codes,
                                      const stored_tensor& scales) {
    checkpoint_tensor w{name, codes.shape, weight_packing::mxfp4, &codes, &scales};
    constexpr std::uint64_t block_bytes = mxfp4_block / 2;
    if (scales.type != stored_type::u8 && scales.type != stored_type::f8_e8m0) {
        throw io_error(wanted_got(scales.where(), "U8 or F8_E8M0", std::string(name_of(scales.type))));
    }
    if (w.shape.size() < 2 || w.shape.back() != block_bytes) {
        throw io_error(wanted_got(codes.where(), "[..., blocks, 16]", shape_text(w.shape)));
    }
    w.shape.pop_back();
    const stored_shape wanted = w.shape;
    if (wanted.back() > ~std::uint64_t{0} / mxfp4_block) {
        throw io_error(wanted_got(codes.where(), "fewer than 2^59 blocks", shape_text(wanted)));
    }
    w.shape.back() *= mxfp4_block;
    require_scale_shape(w, wanted, "32");
    return w;
}

using stored_by_name = std::map<std::string, const stored_tensor*, std::less<>>;

// Finds the tensors that belong together.
class weight_pairing {
public:
    explicit weight_pairing(const stored_by_name& stored) : stored_(stored) {}

    // Appends the weight that `t` is, or whose codes it is.
    void add(const stored_tensor& t, std::vector<checkpoint_tensor>& out) const {
        const stored_tensor* inverse = partner(t, "", "_scale_inv");
        const stored_tensor* scales = partner(t, "_blocks", "_scales");
        if (inverse != nullptr && is_fp8(t)) out.push_back(fp8_weight(t, *inverse));
        else if (scales != nullptr && t.type == stored_type::u8) out.push_back(mxfp4(t, *scales));
        else if (!is_scale(t)) out.push_back({t.name, t.shape, weight_packing::plain, &t, nullptr});
    }

private:
    static bool is_fp8(const stored_tensor& t) {
        return t.type == stored_type::f8_e4m3 || t.type == stored_type::f8_e5m2;
    }

    // Of two tensors NAME + own and NAME + other, the other one; nullptr if `t` is alone or has another name.
    const stored_tensor* partner(const stored_tensor& t, std::string_view own, std::string_view other) const {
        if (!t.name.ends_with(own)) return nullptr;
        const auto found = stored_.find(t.name.substr(0, t.name.size() - own.size()) + std::string(other));
        return found == stored_.end() ? nullptr : found->second;
    }

    bool is_scale(const stored_tensor& t) const {
        const stored_tensor* weight = partner(t, "_scale_inv", "");
        if (weight != nullptr && is_fp8(*weight)) return true;
        const stored_tensor* blocks = partner(t, "_scales", "_blocks");
        return blocks != nullptr && blocks->type == stored_type::u8;
    }

    checkpoint_tensor mxfp4(const stored_tensor& blocks, const stored_tensor& scales) const {
        if (partner(blocks, "_blocks", "") != nullptr) {
            throw io_error(wanted_got(blocks.where(), "this weight either packed or plain", "both"));
        }
        return mxfp4_weight(blocks.name.substr(0, blocks.name.size() - 7), blocks, scales);
    }

    const stored_by_name& stored_;
};

// All weights, by name.
inline std::vector<checkpoint_tensor> weights_of(const stored_by_name& stored) {
    std::vector<checkpoint_tensor> out;
    const weight_pairing pairing(stored);
    for (const auto& [name, t] : stored) pairing.add(*t, out);
    std::sort(out.begin(), out.end(),
              [](const checkpoint_tensor& a, const checkpoint_tensor& b) { return a.name < b.name; });
    return out;
}

}  // namespace detail

MOE_END
