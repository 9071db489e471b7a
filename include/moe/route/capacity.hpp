// route: every expert keeps at most C routes, the others are dropped
// SPDX-License-Identifier: Apache-2.0
//
//     C = clamp(max(least, round(factor * k n / E)) up to a multiple, 0, n), or `count` clamped to [0, n]
//
// in every scope of n live tokens; who stays is decided by priority. Options, priorities: route/capacity_rules.
// Source: Switch 2021, GShard 2020, V-MoE 2021, NLLB 2022, capacity-aware inference 2025 (drop).
// dropped       a dropped route contributes nothing: its slot stays with expert -1. A renormalize behind this step lets the
//               survivors of a token share the whole weight (NLLB), in front of it the dropped part is lost
// masked        padding takes no place and is not counted in n
// causal        with a fixed count, by order: a route is kept or not by earlier tokens alone; else no
// gradient      none through what is dropped
// errors        value_error for a negative or NaN option
// cost          O(R + E + T), plus O(n_e) where an expert is over its capacity; scratch 25 bytes per slot at least
#pragma once

#include "moe/core/roles.hpp"
#include "moe/route/capacity_rules.hpp"

MOE_BEGIN

struct capacity {
    using role = route_step;
    static constexpr const char* name = "capacity";
    static constexpr bool any_memory = true;

    capacity_options options = {};

    part_traits traits() const { return detail::capacity_traits(options); }

    template <class T>
    void check(const batch<T>&, index_t, index_t) const {
        detail::check_capacity("capacity", options);
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const auto kept = detail::within_capacity(b, s, c.offset, c.expert, s.routes.weight, options);
        const std::span<const std::uint8_t> fits = kept.fits;
        kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(index_t t) {
            for (index_t i = c.offset[std::size_t(t)]; i < c.offset[std::size_t(t) + 1]; ++i) {
                if (fits[std::size_t(i)] == 0) c.expert[std::size_t(i)] = -1;
            }
        });
    }
};

MOE_END
