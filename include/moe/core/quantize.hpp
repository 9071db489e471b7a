// core/quantize: how numbers become codes of a few bits
// SPDX-License-Identifier: Apache-2.0
//
// Round to nearest, ties to even, everywhere; core/quantized_panels.hpp says what the codes mean. Nothing here throws,
// whatever the numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

// x * y + z as backends add a group to a sum: fused where the instruction set fuses.
inline float multiply_add(float x, float y, float z) {
#if defined(__FMA__) || defined(__AVX512F__) || defined(__aarch64__)
    return std::fma(x, y, z);
#else
    return x * y + z;
#endif
}

// The largest magnitude; NaN where a number is not finite.
inline float largest_magnitude(std::span<const float> x) {
    float largest = 0;
    bool finite = true;
    for (const float v : x) {
        finite = finite && std::isfinite(v);
        largest = std::max(largest, std::abs(v));
    }
    return finite ? largest : std::numeric_limits<float>::quiet_NaN();
}

// The scale under which a row of activations is rounded to 8 bits: max |x| / 127, NaN where x is not finite.
inline float activation_scale(std::span<const float> x) { return largest_magnitude(x) / 127.0f; }

// In [-127, 127].
inline int activation_code(float x, float scale) {
    if (!(scale > 0)) return 0;
    return static_cast<int>(std::nearbyint(std::clamp(x / scale, -127.0f, 127.0f)));
}

}  // namespace detail

// What scales one group of inputs of an output, and the code that stands for 0.
struct code_scale {
    float scale = 0;
    float zero = 0;
};

// The nearest code, in [0, Format::codes), of a weight; the code of 0 under a scale of 0 or NaN.
template <class Format>
int nearest_code(float weight, const code_scale& s) {
    if (!(s.scale > 0) || !(s.scale <= std::numeric_limits<float>::max())) return Format::zero;
    // A zero that is a constant is added after rounding: 1 is odd, and would turn ties the other way.
    const float steps = weight / s.scale;
    const float code = Format::zero_points ? std::nearbyint(steps + s.zero) : std::nearbyint(steps) + s.zero;
    return static_cast<int>(std::clamp(code, 0.0f, float(Format::codes - 1)));
}

// The same scale as the format stores it.
template <class Format>
code_scale stored_scale(const code_scale& s) {
    using stored = typename Format::scale;
    const float zero = Format::zero_points ? static_cast<float>(stored(s.zero)) : float(Format::zero);
    return {static_cast<float>(stored(s.scale)), zero};
}

// The smallest scale that holds every weight of a group: max |w| / largest, and with zero points (max - min) / (codes - 1)
// where 0 lies between both. NaN where a weight is not finite.
template <class Format>
code_scale covering_scale(std::span<const float> weights) {
    const float largest = detail::largest_magnitude(weights);
    if constexpr (!Format::zero_points) {
        return stored_scale<Format>({largest / float(Format::largest), float(Format::zero)});
    } else {
        if (!(largest > 0)) return stored_scale<Format>({largest, float(Format::zero)});
        float low = 0, high = 0;
        for (const float w : weights) {
            low = std::min(low, w);
            high = std::max(high, w);
        }
        const float steps = float(Format::codes - 1);
        const float scale = stored_scale<Format>({high / steps - low / steps, 0}).scale;
        const float zero = scale > 0 ? std::clamp(std::nearbyint(-low / scale), 0.0f, steps) : float(Format::zero);
        return stored_scale<Format>({scale, zero});
    }
}

// The mean magnitude of a group, under which ternary weights are rounded; NaN where a weight is not finite. Source:
// BitNet b1.58 (Ma et al. 2024), whose guard of the division is not needed: a group of zeros has the code of 0.
template <class Format>
code_scale absmean_scale(std::span<const float> weights) {
    double sum = 0;
    for (const float w : weights) sum += std::abs(double{w});
    const float mean = weights.empty() ? 0.0f : static_cast<float>(sum / double(weights.size()));
    const bool finite = mean <= std::numeric_limits<float>::max();
    return stored_scale<Format>({finite ? mean : std::numeric_limits<float>::quiet_NaN(), float(Format::zero)});
}

template <class Format>
code_scale default_scale(std::span<const float> weights) {
    if constexpr (Format::ternary) return absmean_scale<Format>(weights);
    else return covering_scale<Format>(weights);
}

MOE_END
