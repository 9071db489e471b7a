// io/bind_weights: weights of a checkpoint -> the parameters and state of a layer, every tensor exactly once
// SPDX-License-Identifier: Apache-2.0
//
// Everything is compared before anything is read: each parameter has its tensors, each tensor its shape, and no tensor
// whose name begins with a scope is left over or bound in part. What is wrong is thrown as one list.
// Where a checkpoint may hold the experts in one of several layouts, the one is taken that fits. If a tensor would fit two
// layouts, because its dimensions are equal, nothing is guessed: the layout must be named.
//
// errors        io_error with the lists of missing, extra and misshaped tensors; value_error for a named layout that the
//               architecture does not have
// memory        beside the layer one expert's matrix in the scalar that the layer keeps, two where it is transposed.
//               Weights in a short format are set from the file's values directly: bfloat16 banks hold the very numbers
//               of bfloat16 files. Codes of 8 or 4 bits keep the blocks of GGUF files that they can hold
//               (io/kept_blocks.hpp); else a matrix is rounded before the next one is read
#pragma once

#include "moe/io/expert_layout.hpp"
#include "moe/io/kept_blocks.hpp"

MOE_BEGIN

namespace io {

namespace detail {

// Weights that are set and read a group at a time, as panels are.
template <class Tensor>
concept grouped_weights = requires(Tensor& t, index_t g, matrix_view<float> m) {
    t.read(g, m);
    t.assign(g, m);
};

template <class Tensor>
using scalar_of = std::remove_cvref_t<decltype(*flat(std::declval<Tensor&>()).begin())>;

// What a tensor's elements are read as: its own scalar, or floats where it packs those itself.
template <class Tensor>
using element_read = std::conditional_t<grouped_weights<Tensor> && !moe::detail::floating_element<scalar_of<Tensor>>,
                                        float, scalar_of<Tensor>>;

// The shape as a checkpoint has it.
template <class Tensor>
tensor_shape shape_of_weights(const Tensor& tensor) {
    if constexpr (is_quantized<Tensor>) return {{tensor.groups(), tensor.outputs(), tensor.inputs()}, 3};
    else return shape_of(tensor);
}

// Fills one parameter group by group.
class weight_reader {
public:
    weight_reader(const checkpoint& c, const std::string& prefix, const std::vector<weight_binding>& fixed,
                  const std::vector<weight_binding>& experts)
        : checkpoint_(c), prefix_(prefix), sources_{&fixed, &experts} {}

    template <class Tensor>
    void operator()(const parameter_name& path, Tensor& to) const {
        using T = element_read<Tensor>;
        const weight_slot slot(path.text(), shape_of_weights(to));
        if (slot.empty()) return;
        std::vector<T> group(std::size_t(slot.outputs) * std::size_t(slot.inputs)), scratch;
        for (index_t g = 0; g < slot.groups; ++g) {
            if (keep_blocks(slot, g, to)) continue;
            const matrix_view<T> m{group.data(), slot.outputs, slot.inputs};
            load_group(to, g, m);
            for_tensors(slot, g, [&](const checkpoint_tensor& t, const weight_binding& b) {
                read_group(t, b, slot, g, m, scratch);
            });
            store_group(to, g, m);
        }
    }

private:
    // f(tensor, binding) for those that hold group g of the parameter.
    template <class F>
    void for_tensors(const weight_slot& slot, index_t g, const F& f) const {
        for (const auto* bindings : sources_) {
            for (const weight_binding& b : *bindings) {
                if (b.parameter != slot.parameter) continue;
                const checkpoint_tensor* t = checkpoint_.find(b.name(prefix_, g));
                if (t != nullptr) f(*t, b);
            }
        }
    }

    // Whether the group was set from blocks without being decoded.
    template <class Tensor>
    bool keep_blocks(const weight_slot& slot, index_t g, Tensor& to) const {
        if constexpr (keeps_blocks<Tensor>) {
            bool all = true;
            for_tensors(slot, g, [&](const checkpoint_tensor& t, const weight_binding& b) {
                all = all && has_blocks_to_keep(t, b);
            });
            if (!all) return false;
            for_tensors(slot, g, [&](const checkpoint_tensor& t, const weight_binding& b) {
                keep_group(t, b, slot, g, to);
            });
            return true;
        } else {
            return false;
        }
    }

    template <class Tensor, class T>
    static void load_group(const Tensor& from, index_t g, matrix_view<T> m) {
        if constexpr (grouped_weights<Tensor>) {
            from.read(g, m);
        } else {
            const auto values = flat(from);
            std::copy_n(values.begin() + std::ptrdiff_t(g) * m.rows, m.rows, m.data);
        }
    }
    template <class Tensor, class T>
    static void store_group(Tensor& to, index_t g, matrix_view<T> m) {
        if constexpr (grouped_weights<Tensor>) {
            to.assign(g, m);
        } else {
            const auto values = flat(to);
            std::copy_n(m.data, m.rows, values.begin() + std::ptrdiff_t(g) * m.rows);
        }
    }

    const checkpoint& checkpoint_;
    const std::string& prefix_;
    std::array<const std::vector<weight_binding>*, 2> sources_;
};

}  // namespace detail

// Sets every parameter and state of the layer; `where` begins errors. Nothing is set if anything does not fit.
template <class Layer>
bound_weights bind_weights(const checkpoint& c, const std::string& prefix, const layer_bindings& l, Layer& layer,
                           const std::string& where, std::optional<expert_layout> named = std::nullopt) {
    std::vector<detail::weight_slot> slots;
    const auto collect = [&slots](const parameter_name& path, auto& tensor) {
        detail::weight_slot s(path.text(), detail::shape_of_weights(tensor));
        if (!s.empty()) slots.push_back(std::move(s));
    };
    visit_parameters(collect, layer);
    visit_state(collect, layer);
    bound_weights result;
    const expert_bindings& chosen = detail::choose_layout(c, prefix, where, slots, l, named, result);
    const detail::weight_reader reader(c, prefix, l.fixed, chosen.tensors);
    visit_parameters(reader, layer);
    visit_state(reader, layer);
    return result;
}

}  // namespace io

MOE_END
