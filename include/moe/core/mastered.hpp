// core/mastered: weights [G,N,K] kept twice: as floats, which are trained, and in a short format, which kernels read
// SPDX-License-Identifier: Apache-2.0
//
// Source: mixed precision training (Micikevicius et al. 2018). The masters are what visitors see: gradients, optimisers
// and files work on them. The packed weights are the masters rounded; whoever writes masters other than by assign calls
// changed() afterwards, as the library's optimisers do:
//
//     changed()        packs all weights on this thread
//     changed(run)     the same with run(n, f), which calls f(0) ... f(n-1) in any order, on any threads or device
//
// How W is packed says detail::packing<W>; core/mastered_codes.hpp has it for codes.
#pragma once

#include "moe/core/panels.hpp"

MOE_BEGIN

namespace detail {

// Rounds line i of the masters, of all groups and panels one after the other.
template <class E, index_t together>
struct pack_line {
    panels_view<const float> masters;
    panels_view<E, together> packed;

    MOE_FN void operator()(std::size_t i) const {
        constexpr index_t width = panels_view<float>::width;
        static_assert(panels_view<E, together>::width == width);
        const std::size_t panel = i / std::size_t(masters.inputs);
        const std::size_t k = i % std::size_t(masters.inputs);
        const float* from = masters.data + i * std::size_t(width);
        E* to = packed.data + (panel * std::size_t(packed.lines()) + k / std::size_t(together)) * width * together +
                k % std::size_t(together);
        for (index_t n = 0; n < width; ++n) to[n * together] = E(from[n]);
    }
};

// The container that kernels read, assign(packed, g, w) for one group and repack(masters, packed, run) for all.
template <class W>
struct packing;

template <class E, index_t together>
struct packing<panels<E, together>> {
    using packed = panels<E, together>;

    template <class U>
    static void assign(packed& to, index_t g, matrix_view<U> w) {
        to.assign(g, w);
    }
    template <class Run>
    static void repack(const panels<float>& masters, packed& to, const Run& run) {
        run(masters.span().size() / std::size_t(masters.width), pack_line<E, together>{masters.view(), to.view()});
    }
};

}  // namespace detail

template <class W>
class mastered {
    using packing = detail::packing<W>;

public:
    using value_type = float;
    using packed_type = typename packing::packed;

    mastered() = default;
    mastered(index_t groups, index_t outputs, index_t inputs)
        : masters_(groups, outputs, inputs), packed_(groups, outputs, inputs) {}

    index_t groups() const { return masters_.groups(); }
    index_t outputs() const { return masters_.outputs(); }
    index_t inputs() const { return masters_.inputs(); }

    panels<float>& masters() { return masters_; }
    const panels<float>& masters() const { return masters_; }
    const packed_type& packed() const { return packed_; }

    float& operator()(index_t g, index_t n, index_t k) { return masters_(g, n, k); }
    const float& operator()(index_t g, index_t n, index_t k) const { return masters_(g, n, k); }

    // Sets (masters and packed) or reads (masters) one group as a row-major [N,K] matrix.
    template <class U>
    void assign(index_t g, matrix_view<U> w) {
        masters_.assign(g, w);
        packing::assign(packed_, g, w);
    }
    template <class U>
    void read(index_t g, matrix_view<U> w) const {
        masters_.read(g, w);
    }

    void changed() {
        detail::require_host("weights", space());
        changed([](std::size_t n, const auto& f) {
            for (std::size_t i = 0; i < n; ++i) f(i);
        });
    }
    template <class Run>
    void changed(const Run& run) {
        packing::repack(masters_, packed_, run);
    }

    const memory_space& space() const { return masters_.space(); }
    void move_to(const memory_space& to) {
        masters_.move_to(to);
        packed_.move_to(to);
    }
    template <class Copy>
    void renew(const memory_space& to, const Copy& copy) {
        masters_.renew(to, copy);
        packed_.renew(to, copy);
    }
    void clear() {
        masters_.clear();
        packed_.clear();
    }

    // All masters as stored, padding included.
    std::span<float> span() { return masters_.span(); }
    std::span<const float> span() const { return masters_.span(); }

private:
    panels<float> masters_;
    packed_type packed_;
};

MOE_END
