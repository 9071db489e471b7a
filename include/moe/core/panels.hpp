// core/panels: weights [G,N,K] in the one layout every kernel reads
// SPDX-License-Identifier: Apache-2.0
//
// G groups (experts) of an N x K matrix: N outputs, K inputs. The outputs of a group are cut into panels of `width`
// neighbours; a panel stores, for each input, its `width` weights side by side:
//
//     element (g, n, k)  ->  ((g * panels + n / width) * K + k) * width + n % width
//
// A panel has 256 bytes of the scalar that sums: 64 outputs where sums are floats, whatever the format of the weights.
// It is one forward stream for a matrix-vector product, holds a register tile for a matrix product, and serves both
// products of the backward pass, so no weight is ever repacked, and optimisers, which work element by element, need not
// know. The outputs behind the last one are zeros, and stay zeros because their gradients are.
//
// panels<E, 2> keeps the inputs 2i and 2i+1 of an output side by side, as instructions that multiply pairs want them
// (behind an odd K stands a zero). A line is the weights of `together` inputs for `width` outputs.
//
//     element (g, n, k)  ->  (((g * panels + n / width) * lines + k / 2) * width + n % width) * 2 + k % 2
#pragma once

#include "moe/core/float16.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

// Panels as kernels and row programs see them.
template <class T, index_t together_ = 1>
struct panels_view {
    using value_type = std::remove_const_t<T>;
    static constexpr index_t together = together_;
    static constexpr index_t width = static_cast<index_t>(256 / std::max(sizeof(T), sizeof(float)));

    T* data = nullptr;
    index_t groups = 0;
    index_t outputs = 0;
    index_t inputs = 0;

    MOE_FN index_t panel_count() const { return (outputs + width - 1) / width; }
    MOE_FN index_t lines() const { return (inputs + together - 1) / together; }
    // The first weight of panel p of group g, [lines][width][together].
    MOE_FN T* panel(index_t g, index_t p) const {
        return data + (std::ptrdiff_t(g) * panel_count() + p) * lines() * width * together;
    }
    MOE_FN T& operator()(index_t g, index_t n, index_t k) const {
        return panel(g, n / width)[(std::ptrdiff_t(k / together) * width + n % width) * together + k % together];
    }
};

// An activation as a product with weights of type E sees it: bfloat16 meets inputs rounded to it, as instructions that
// multiply pairs of it want them; other formats are widened, and meet inputs as they are.
template <class E, class T>
MOE_FN T as_input(T x) {
    if constexpr (std::is_same_v<E, bfloat16>) return static_cast<T>(static_cast<float>(E(x)));
    else return x;
}

template <class T, index_t together_ = 1>
class panels {
public:
    using value_type = T;
    static constexpr index_t together = together_;
    static constexpr index_t width = panels_view<T, together>::width;

    panels() = default;
    panels(index_t groups, index_t outputs, index_t inputs) : groups_(groups), outputs_(outputs), inputs_(inputs) {
        if (groups < 0 || outputs < 0 || inputs < 0) throw_shape("weights", "sizes of at least 0", "a negative size");
        storage_ = buffer<T>(static_cast<std::size_t>(groups) * group_size());
    }
    // Over elements as stored.
    panels(index_t groups, index_t outputs, index_t inputs, buffer<T> elements)
        : groups_(groups), outputs_(outputs), inputs_(inputs), storage_(std::move(elements)) {
        if (groups < 0 || outputs < 0 || inputs < 0) throw_shape("weights", "sizes of at least 0", "a negative size");
        detail::require_size("weights as stored", span(), std::size_t(groups) * group_size());
    }

    index_t groups() const { return groups_; }
    index_t outputs() const { return outputs_; }
    index_t inputs() const { return inputs_; }
    index_t panel_count() const { return (outputs_ + width - 1) / width; }

    // Lines of a panel: K / together, rounded up.
    index_t lines() const { return (inputs_ + together - 1) / together; }

    // The first weight of panel p of group g, [lines][width][together].
    T* panel(index_t g, index_t p) { return storage_.data() + panel_offset(g, p); }
    const T* panel(index_t g, index_t p) const { return storage_.data() + panel_offset(g, p); }

    T& operator()(index_t g, index_t n, index_t k) { return panel(g, n / width)[place_in_panel(n, k)]; }
    const T& operator()(index_t g, index_t n, index_t k) const { return panel(g, n / width)[place_in_panel(n, k)]; }

    // Sets or reads one group as a row-major [N,K] matrix, the layout of checkpoints.
    template <class U>
    void assign(index_t g, matrix_view<U> w) {
        check_group(g);
        detail::require_shape("weights", w, outputs_, inputs_);
        for (index_t n = 0; n < outputs_; ++n) {
            for (index_t k = 0; k < inputs_; ++k) (*this)(g, n, k) = static_cast<T>(w(n, k));
        }
    }
    template <class U>
    void read(index_t g, matrix_view<U> w) const {
        check_group(g);
        detail::require_shape("weights", w, outputs_, inputs_);
        for (index_t n = 0; n < outputs_; ++n) {
            for (index_t k = 0; k < inputs_; ++k) w(n, k) = static_cast<U>((*this)(g, n, k));
        }
    }

    panels_view<T, together> view() { return {storage_.data(), groups_, outputs_, inputs_}; }
    panels_view<const T, together> view() const { return {storage_.data(), groups_, outputs_, inputs_}; }
    // What kernels read; other containers of weights keep it beside what they train.
    const panels& packed() const { return *this; }

    // Takes over elements as stored, in place of those there are.
    void adopt(buffer<T> elements) {
        detail::require_size("weights as stored", std::span<const T>(elements.span()), storage_.size());
        storage_ = std::move(elements);
    }

    const memory_space& space() const { return storage_.space(); }
    void move_to(const memory_space& to) { storage_.move_to(to); }
    template <class Copy>
    void renew(const memory_space& to, const Copy& copy) {
        storage_.renew(to, copy);
    }
    void clear() { storage_.clear(); }

    // All elements as stored, padding included.
    std::span<T> span() { return storage_.span(); }
    std::span<const T> span() const { return storage_.span(); }

private:
    std::size_t panel_size() const { return std::size_t(lines()) * std::size_t(width) * std::size_t(together); }
    std::size_t group_size() const { return static_cast<std::size_t>(panel_count()) * panel_size(); }
    std::size_t panel_offset(index_t g, index_t p) const {
        return static_cast<std::size_t>(g) * group_size() + std::size_t(p) * panel_size();
    }
    static std::ptrdiff_t place_in_panel(index_t n, index_t k) {
        return (std::ptrdiff_t(k / together) * width + n % width) * together + k % together;
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
    buffer<T> storage_;
};

// Pairs of bfloat16, for products that sum in float.
using bf16_panels = panels<bfloat16, 2>;
// float16, widened where it is multiplied.
using f16_panels = panels<float16>;

MOE_END
