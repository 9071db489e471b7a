// core/quantized_panels: weights [G,N,K] as codes of a few bits with a scale for every group of inputs
// SPDX-License-Identifier: Apache-2.0
//
//     weight (g, n, k) = scale(g, n, k / group) * (code(g, n, k) - zero)
//
// A panel is 64 outputs, as in core/panels.hpp, and a block is the codes of one group of inputs followed by what scales
// them, in the order in which a kernel reads them: one forward stream.
//
//     block     codes [lines][64][4 bytes], scales [64], zero points [64] where the format has them
//     byte j of a line and output holds, in its bits from i * bits on, the code of input 4 i + j of the line;
//               packed ternary weights have it as digit i of base 3
//
// So a line is 4 inputs of int8, 8 of int4, 16 of int2 and ternary, 20 of packed ternary and 32 of 1-bit weights. Codes
// have no sign: `zero` is 128, 8 or 1, or a number of each group. Scales are float16, which takes half a bit a weight
// with groups of 32, or float for whole rows. Codes of inputs and outputs that do not exist count for nothing. The layout is the same on
// every instruction set.
//
// What a product does with them (the rule of every backend): a row x is rounded to 8 bits with one scale of its own,
//
//     a_k = round to nearest even (x_k / s), at most 127 in size, with s = max |x| / 127       s = 0: all a_k = 0
//
// a NaN or an infinity in x makes the row's outputs NaN. Sums of a_k * code inside a group are exact integers; groups
// are added in ascending order, each by one multiply-add in float, fused where the instruction set fuses:
//
//     sum = fma(scale, float(sum of a_k (code - zero)), sum)                        then y = s * sum, and the bias
//     sum = fma(scale, fma(-zero, float(sum of a_k), float(sum of a_k code)), sum)  with zero points
//
// So an output depends on its own row only, and has the same bits in all backends that have the same multiply-add.
#pragma once

#include <limits>

#include "moe/core/code_format.hpp"
#include "moe/core/quantize.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

template <class Format>
class quantized_panels {
public:
    using format = Format;
    using value_type = code_byte<Format>;
    using scale_type = typename Format::scale;
    static constexpr index_t together = Format::together;
    static constexpr index_t width = 64;
    static constexpr std::size_t line_bytes = 4 * std::size_t{width};
    static constexpr std::size_t scale_bytes = std::size_t{width} * sizeof(scale_type) * (Format::zero_points ? 2 : 1);
    // A sum of a group must fit 32 bits.
    static constexpr index_t most_inputs =
        Format::group == whole_rows ? 65536 : std::numeric_limits<index_t>::max() / 8;

    quantized_panels() = default;
    quantized_panels(index_t groups, index_t outputs, index_t inputs)
        : groups_(groups), outputs_(outputs), inputs_(inputs) {
        check_sizes();
        storage_ = buffer<value_type>(stored_bytes());
    }

    // Over bytes as stored.
    quantized_panels(index_t groups, index_t outputs, index_t inputs, buffer<value_type> bytes)
        : groups_(groups), outputs_(outputs), inputs_(inputs) {
        check_sizes();
        storage_ = std::move(bytes);
        detail::require_size("weights as stored", span(), stored_bytes());
    }

    index_t groups() const { return groups_; }
    index_t outputs() const { return outputs_; }
    index_t inputs() const { return inputs_; }
    index_t panel_count() const { return (outputs_ + width - 1) / width; }
    index_t lines() const { return (inputs_ + together - 1) / together; }

    // Groups of inputs, and how many of them share a scale.
    index_t blocks() const { return (inputs_ + block_inputs() - 1) / block_inputs(); }
    index_t block_inputs() const {
        return Format::group == whole_rows ? std::max(inputs_, index_t{1}) : Format::group;
    }
    index_t block_size(index_t block) const { return std::min(block_inputs(), inputs_ - block * block_inputs()); }
    std::size_t panel_bytes() const {
        return std::size_t(lines()) * line_bytes + std::size_t(blocks()) * scale_bytes;
    }
    // Bits that a weight takes, scales included.
    double bits_per_weight() const {
        const double weights = double(groups_) * double(outputs_) * double(inputs_);
        return weights == 0 ? 0 : 8.0 * double(storage_.size()) / weights;
    }

    // The first byte of panel p of expert g.
    const unsigned char* panel(index_t g, index_t p) const {
        return bytes() + (std::size_t(g) * std::size_t(panel_count()) + std::size_t(p)) * panel_bytes();
    }

    int code(index_t g, index_t n, index_t k) const {
        const place at = place_of(n, k);
        return Format::get(panel(g, n / width)[at.byte], at.field);
    }
    // Of inputs [block * block_inputs(), ...) of output n.
    code_scale scale(index_t g, index_t n, index_t block) const {
        const unsigned char* from =
            panel(g, n / width) + scales_of(block) + std::size_t(n % width) * sizeof(scale_type);
        if constexpr (!Format::zero_points) return {load(from), float(Format::zero)};
        else return {load(from), load(from + std::size_t{width} * sizeof(scale_type))};
    }
    // The decoded weight; exact, but for zero points that are no small integers.
    float operator()(index_t g, index_t n, index_t k) const {
        const code_scale s = scale(g, n, k / block_inputs());
        return s.scale * (float(code(g, n, k)) - s.zero);
    }

    // to [count][width] = the decoded weights of inputs [first, first + count) for the outputs of panel p.
    void read_inputs(index_t g, index_t p, index_t first, index_t count, float* to) const {
        float scales[std::size_t{width}], zeros[std::size_t{width}];
        index_t known = -1;
        for (index_t i = 0; i < count; ++i, to += width) {
            const index_t block = (first + i) / block_inputs();
            for (index_t j = 0; j < width && block != known; ++j) {
                const code_scale s = scale(g, p * width + j, block);
                scales[j] = s.scale;
                zeros[j] = s.zero;
            }
            known = block;
            const place at = place_of(0, first + i);
            const unsigned char* bytes = panel(g, p) + at.byte;
            for (index_t j = 0; j < width; ++j) {
                to[j] = scales[j] * (float(Format::get(bytes[4 * j], at.field)) - zeros[j]);
            }
        }
    }

    // Sets a block of an output: codes of its inputs (in [0, Format::codes)) and their scale, which is rounded.
    void set_block(index_t g, index_t n, index_t block, const code_scale& s, std::span<const int> codes) {
        unsigned char* to = writable_panel(g, n / width);
        unsigned char* at = to + scales_of(block) + std::size_t(n % width) * sizeof(scale_type);
        store(at, s.scale);
        if constexpr (Format::zero_points) store(at + std::size_t{width} * sizeof(scale_type), s.zero);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const place p = place_of(n, block * block_inputs() + static_cast<index_t>(i));
            to[p.byte] = Format::set(to[p.byte], p.field, codes[i]);
        }
    }

    // Rounds one expert, a row-major [N,K] matrix, to the nearest codes under the smallest scales that hold the largest
    // weight of a group, ternary weights under the mean magnitude of a group (core/quantize.hpp). A group with a NaN or
    // an infinity, or too large for its scale, is NaN.
    template <class U>
    void assign(index_t g, matrix_view<U> w) {
        assign(g, w, [](std::span<const float> weights, index_t, index_t) {
            return default_scale<Format>(weights);
        });
    }
    // The same under scales that choose(weights, n, block) returns.
    template <class U, class Choose>
    void assign(index_t g, matrix_view<U> w, const Choose& choose) {
        check_group(g);
        detail::require_shape("weights", w, outputs_, inputs_);
        buffer<float> weights(static_cast<std::size_t>(block_inputs()));
        buffer<int> codes(weights.size());
        for (index_t n = 0; n < outputs_; ++n) {
            for (index_t b = 0; b < blocks(); ++b) {
                const std::size_t size = std::size_t(block_size(b));
                for (std::size_t i = 0; i < size; ++i) {
                    weights[i] = static_cast<float>(w(n, b * block_inputs() + static_cast<index_t>(i)));
                }
                const std::span<const float> group(weights.data(), size);
                const code_scale s = stored_scale<Format>(choose(group, n, b));
                for (std::size_t i = 0; i < size; ++i) codes[i] = nearest_code<Format>(group[i], s);
                set_block(g, n, b, s, {codes.data(), size});
            }
        }
    }
    // Reads one expert, decoded.
    template <class U>
    void read(index_t g, matrix_view<U> w) const {
        check_group(g);
        detail::require_shape("weights", w, outputs_, inputs_);
        for (index_t n = 0; n < outputs_; ++n) {
            for (index_t k = 0; k < inputs_; ++k) w(n, k) = static_cast<U>((*this)(g, n, k));
        }
    }

    const quantized_panels& packed() const { return *this; }

    void adopt(buffer<value_type> elements) {
        detail::require_size("weights as stored", std::span<const value_type>(elements.span()), storage_.size());
        storage_ = std::move(elements);
    }

    const memory_space& space() const { return storage_.space(); }
    void move_to(const memory_space& to) { storage_.move_to(to); }
    template <class Copy>
    void renew(const memory_space& to, const Copy& copy) {
        storage_.renew(to, copy);
    }
    void clear() { storage_.clear(); }

    // All bytes as stored, padding included.
    std::span<value_type> span() { return storage_.span(); }
    std::span<const value_type> span() const { return storage_.span(); }

private:
    struct place {
        std::size_t byte;
        int field;
    };

    place place_of(index_t n, index_t k) const {
        const std::size_t line = std::size_t(k / together);
        const index_t in_line = k % together;
        const std::size_t scales = std::size_t(k / block_inputs()) * scale_bytes;
        return {line * line_bytes + scales + 4 * std::size_t(n % width) + std::size_t(in_line % 4),
                static_cast<int>(in_line / 4)};
    }
    // Where the scales of a block start in a panel.
    std::size_t scales_of(index_t block) const {
        const index_t last = block * block_inputs() + block_size(block);
        return std::size_t((last + together - 1) / together) * line_bytes + std::size_t(block) * scale_bytes;
    }
    static float load(const unsigned char* from) {
        scale_type s;
        std::memcpy(static_cast<void*>(&s), from, sizeof(s));
        return static_cast<float>(s);
    }
    static void store(unsigned char* to, float value) {
        const scale_type s(value);
        std::memcpy(to, static_cast<const void*>(&s), sizeof(s));
    }
    const unsigned char* bytes() const { return reinterpret_cast<const unsigned char*>(storage_.data()); }
    unsigned char* writable_panel(index_t g, index_t p) {
        return reinterpret_cast<unsigned char*>(storage_.data()) + (panel(g, p) - bytes());
    }
    std::size_t stored_bytes() const {
        return std::size_t(groups_) * std::size_t(panel_count()) * panel_bytes();
    }
    void check_sizes() const {
        if (groups_ < 0 || outputs_ < 0 || inputs_ < 0) throw_shape("weights", "sizes of at least 0", "a negative size");
        if (inputs_ > most_inputs) {
            throw_shape("weights", std::string("at most ") + std::to_string(most_inputs) + " inputs under one scale",
                        std::to_string(inputs_));
        }
    }
    void check_group(index_t g) const {
        if (g < 0 || g >= groups_) {
            throw_value("expert", std::string("0 to ") + std::to_string(groups_ - 1), std::to_string(g));
        }
        detail::require_host("weights", space());
    }

    index_t groups_ = 0;
    index_t outputs_ = 0;
    index_t inputs_ = 0;
    buffer<value_type> storage_;
};

MOE_END
