// io/weight_binding: where the elements of a layer's parameter stand in a tensor of a checkpoint
// SPDX-License-Identifier: Apache-2.0
//
// A parameter is G groups (experts) of N outputs by K inputs, or of N numbers where it is a vector. A tensor holds it as
//
//     plain        [N,K] for one group, one tensor per expert where its name holds {e}; [G,N,K] for several (stacked)
//     transposed   the same with the last two dimensions exchanged
//     flattened    the groups and the first dimension behind them as one: [G N,K], transposed [G K,N]; a single row
//                  also without it: [K]
//
// or as some of the tensor's outputs, which are then twice N: a half (gate and up merged) or every other (interleaved).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "moe/core/tensor_ref.hpp"
#include "moe/io/checkpoint.hpp"

MOE_BEGIN

namespace io {

enum class weight_rows { all, first_half, second_half, even, odd };

struct weight_binding {
    std::string parameter;  // path in the layer: "experts.gate"
    std::string tensor;     // name behind the prefix of the layer; {e} is the number of an expert
    weight_rows rows = weight_rows::all;  // which of the tensor's outputs
    bool transposed = false;
    bool flattened = false;
    bool optional = false;     // without the tensor the parameter stays as it is
    index_t part = 0;          // the tensor holds part `part` of `parts` of the parameter's outputs
    index_t parts = 1;
    index_t first_expert = 0;  // number of the first expert in {e}
    std::optional<weight_packing> packing = std::nullopt;  // the only one in which this holds

    bool per_expert() const { return tensor.find("{e}") != std::string::npos; }
    std::string name(const std::string& prefix, index_t group) const {
        const std::size_t at = tensor.find("{e}");
        if (at == std::string::npos) return prefix + tensor;
        return prefix + tensor.substr(0, at) + std::to_string(first_expert + group) + tensor.substr(at + 3);
    }
};

namespace detail {

// A parameter of a layer.
struct weight_slot {
    std::string parameter;
    index_t groups = 1, outputs = 1, inputs = 1;
    bool vector = true;

    weight_slot(std::string path, const tensor_shape& s) : parameter(std::move(path)), vector(s.rank < 3) {
        if (s.rank == 1) outputs = s.dims[0];
        if (s.rank >= 2) groups = s.dims[0], outputs = s.dims[1];
        if (s.rank == 3) inputs = s.dims[2];
    }
    bool empty() const { return groups == 0 || outputs == 0 || inputs == 0; }
};

inline std::uint64_t outputs_in_tensor(const weight_binding& b, const weight_slot& s) {
    const auto n = static_cast<std::uint64_t>(s.outputs / b.parts);
    return b.rows == weight_rows::all ? n : 2 * n;
}

// The shapes in which a tensor can hold what is bound to it; the first is the usual one.
inline std::vector<stored_shape> shapes_for(const weight_binding& b, const weight_slot& s) {
    const std::uint64_t n = outputs_in_tensor(b, s), k = static_cast<std::uint64_t>(s.inputs);
    const auto groups = static_cast<std::uint64_t>(s.groups);
    stored_shape one = s.vector ? stored_shape{n} : b.transposed ? stored_shape{k, n} : stored_shape{n, k};
    if (b.per_expert()) return {one};
    if (b.flattened) {
        const std::uint64_t all = groups * n;
        if (s.vector && all % 2 == 0) return {{all}, {1, all}, {2, all / 2}};
        if (s.vector) return {{all}, {1, all}};
        one.front() *= groups;
        if (one.front() == 1) return {one, {one.back()}};
        return {one};
    }
    stored_shape stacked = one;
    stacked.insert(stacked.begin(), groups);
    if (groups == 1) return {one, stacked};
    return {stacked};
}

inline bool fits(const weight_binding& b, const weight_slot& s, const checkpoint_tensor& t) {
    if (b.packing && *b.packing != t.packing) return false;
    for (const stored_shape& wanted : shapes_for(b, s)) {
        if (t.shape == wanted) return true;
    }
    return false;
}

// Output n of the parameter is this output of the tensor.
inline index_t output_in_tensor(weight_rows rows, index_t n, index_t count) {
    switch (rows) {
        case weight_rows::second_half: return count + n;
        case weight_rows::even: return 2 * n;
        case weight_rows::odd: return 2 * n + 1;
        default: return n;
    }
}

// Sets the bound outputs of group g in `out` [N,K]; the shapes were checked. Only these elements are converted.
template <class T>
void read_group(const checkpoint_tensor& t, const weight_binding& b, const weight_slot& s, index_t g, matrix_view<T> out,
                std::vector<T>& scratch) {
    const index_t count = s.outputs / b.parts, first = b.part * count;
    const auto stored = static_cast<index_t>(outputs_in_tensor(b, s));
    const std::uint64_t lead = b.per_expert() ? 0 : static_cast<std::uint64_t>(g);
    const auto room = [&](index_t rows, index_t cols) {
        scratch.resize(std::size_t(rows) * std::size_t(cols));
        return matrix_view<T>{scratch.data(), rows, cols};
    };
    if (s.vector) {
        const bool whole = b.flattened;  // [E] in any shape
        const auto all = room(whole ? static_cast<index_t>(t.rows()) : 1, static_cast<index_t>(t.cols()));
        t.read(whole ? 0 : lead, all);
        const index_t begin = whole ? static_cast<index_t>(lead) * stored : 0;
        for (index_t n = 0; n < count; ++n) {
            out(first + n, 0) = scratch[std::size_t(begin + output_in_tensor(b.rows, n, count))];
        }
    } else if (b.transposed) {
        const auto all = room(s.inputs, stored);
        t.read(lead * static_cast<std::uint64_t>(s.inputs), all);
        for (index_t n = 0; n < count; ++n) {
            const index_t from = output_in_tensor(b.rows, n, count);
            for (index_t k = 0; k < s.inputs; ++k) out(first + n, k) = all(k, from);
        }
    } else {
        const std::uint64_t begin = lead * static_cast<std::uint64_t>(stored);
        const bool together = b.rows != weight_rows::even && b.rows != weight_rows::odd;
        const index_t step = together ? count : 1;
        for (index_t n = 0; n < count; n += step) {
            const index_t from = output_in_tensor(b.rows, n, count);
            t.read(begin + static_cast<std::uint64_t>(from), matrix_view<T>{out.row(first + n), step, s.inputs});
        }
    }
}

}  // namespace detail

}  // namespace io

MOE_END
