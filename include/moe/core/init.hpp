// core/init: how fresh weights are drawn
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/panels.hpp"
#include "moe/core/quantized_panels.hpp"
#include "moe/core/rng.hpp"

MOE_BEGIN

// As a seed: weights stay 0. For layers whose weights are loaded, because drawing takes longer than reading.
inline constexpr std::uint64_t no_draw = ~std::uint64_t{0};

// The seed of another part of the same shape: other weights, or none either.
constexpr std::uint64_t other_seed(std::uint64_t seed, std::uint64_t part) {
    return seed == no_draw ? no_draw : seed + part;
}

namespace detail {

// Uniform in +-1/sqrt(K), the usual start of a linear map with K inputs. A pure function of seed and name, the same for
// every scalar type up to rounding.
template <class W>
void draw_uniform(W& w, std::uint64_t seed, std::string_view name) {
    if (w.inputs() == 0 || seed == no_draw) return;
    const random_stream random(seed, stream_id(name));
    const double bound = 1.0 / std::sqrt(static_cast<double>(w.inputs()));
    const auto drawn = [&](index_t g, index_t n, index_t k) {
        const std::uint64_t row = static_cast<std::uint64_t>(g) * static_cast<std::uint64_t>(w.outputs()) +
                                  static_cast<std::uint64_t>(n);
        return bound * (2.0 * random.uniform(row, static_cast<std::uint32_t>(k)) - 1.0);
    };
    // Codes are set an expert at a time.
    matrix<float> one(is_quantized<W> ? w.outputs() : 0, w.inputs());
    for (index_t g = 0; g < w.groups(); ++g) {
        for (index_t n = 0; n < w.outputs(); ++n) {
            for (index_t k = 0; k < w.inputs(); ++k) {
                if constexpr (is_quantized<W>) one(n, k) = static_cast<float>(drawn(g, n, k));
                else w(g, n, k) = static_cast<typename W::value_type>(drawn(g, n, k));
            }
        }
        if constexpr (is_quantized<W>) w.assign(g, one.view());
    }
    if constexpr (requires { w.changed(); }) w.changed();
}

inline void require_positive(const char* option, index_t value) {
    if (value < 1) throw_value(option, "at least 1", std::to_string(value));
}

}  // namespace detail

MOE_END
