// io/kept_blocks: blocks of a GGUF file -> codes of a bank, as they are where the bank's format holds them
// SPDX-License-Identifier: Apache-2.0
//
//     file     format of the bank                                          what becomes of a block
//     Q8_0     8 bits, groups of 32                                        codes and scale as they are
//     Q4_0     8 or 4 bits, with zero points or without, groups of 32      as they are
//     MXFP4    8 bits, groups of 32                                        as they are from 2^-23 to 2^16 (the scale of
//                                                                          the file), else rounded
//     others, groups of 64 and more, tensors that are transposed           decoded and rounded to nearest, an expert's
//                                                                          matrix at a time: core/quantized_panels.hpp
//
// As they are: the decoded weights of the bank are those of the file, bit for bit. How far those that are rounded lie
// off stands in docs/checkpoints.md.
#pragma once

#include "moe/core/quantized_panels.hpp"
#include "moe/io/weight_binding.hpp"

MOE_BEGIN

namespace io::detail {

inline constexpr index_t kept_group = 32;

template <class Tensor>
inline constexpr bool keeps_blocks = false;
template <class Format>
inline constexpr bool keeps_blocks<quantized_panels<Format>> = Format::group == kept_group;

// Whether the tensor is in blocks of whole numbers, each of which is a group of inputs.
inline bool has_blocks_to_keep(const checkpoint_tensor& t, const weight_binding& b) {
    return t.packing == weight_packing::ggml_blocks && t.format->split != nullptr &&
           t.format->elements == kept_group && !b.transposed;
}

template <class Format>
void keep_block(quantized_panels<Format>& to, index_t g, index_t n, index_t block, const ggml_format& format,
                const unsigned char* from) {
    int codes[kept_group];
    const float scale = format.split(from, codes);
    const code_scale kept = stored_scale<Format>({scale, float(Format::zero)});
    bool holds = kept.scale == scale || std::isnan(scale);
    for (int& c : codes) {
        c += Format::zero;
        holds = holds && c >= 0 && c < Format::codes;
    }
    if (holds) return to.set_block(g, n, block, kept, codes);
    float weights[kept_group];
    format.decode(from, weights);
    const code_scale rounded = covering_scale<Format>(weights);
    for (index_t i = 0; i < kept_group; ++i) codes[i] = nearest_code<Format>(weights[i], rounded);
    to.set_block(g, n, block, rounded, codes);
}

// Sets the bound outputs of group g, as read_group; the shapes were checked.
template <class Format>
void keep_group(const checkpoint_tensor& t, const weight_binding& b, const weight_slot& s, index_t g,
                quantized_panels<Format>& to) {
    const index_t count = s.outputs / b.parts, first = b.part * count, blocks = s.inputs / kept_group;
    const std::uint64_t lead = b.per_expert() ? 0 : static_cast<std::uint64_t>(g) * outputs_in_tensor(b, s);
    for (index_t n = 0; n < count; ++n) {
        const std::uint64_t row = lead + static_cast<std::uint64_t>(output_in_tensor(b.rows, n, count));
        const std::size_t block = static_cast<std::size_t>(row) * static_cast<std::size_t>(blocks);
        const unsigned char* from = t.codes->bytes.data() + block * t.format->bytes;
        for (index_t i = 0; i < blocks; ++i, from += t.format->bytes) {
            keep_block(to, g, first + n, i, *t.format, from);
        }
    }
}

}  // namespace io::detail

MOE_END
