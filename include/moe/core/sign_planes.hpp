// core/sign_planes: weights [G,N,K] in 2 bits, and one bit more for every plane of signs
// SPDX-License-Identifier: Apache-2.0
//
//     W_2 = the nearest codes of 2 bits, with zero points
//     W_b = W_(b-1) + s sign(W - W_(b-1)),      s = sum of m_k |r_k| / sum of m_k over a group, r = W - W_(b-1)
//
// s is the least-squares scale of the signs when errors count by m, the mean squares of the inputs: the weighted
// squared error of a group falls by s^2 times the sum of m_k at every bit. Without m all inputs count alike, and where
// all m of a group are 0. sign(0) = 1. A group with a number that is not finite is NaN at every width.
// Prefixes of int8 (core/nested_codes.hpp) have one scale for all widths; here every plane has its own, so base and
// planes are code_formats and their sums are none: a width is read as plain numbers. Source: D2MoE 2025 (MWQ), without
// its compensation of errors between blocks of columns.
#pragma once

#include <vector>

#include "moe/core/quantized_panels.hpp"

MOE_BEGIN

template <index_t group>
class sign_planes {
public:
    using base_panels = int2_zero_panels<group>;
    using plane_panels = sign_panels<group>;

    // Widths from 2 to `bits`. Throws value_error for fewer than 2 or more than 8 bits.
    sign_planes(index_t groups, index_t outputs, index_t inputs, int bits) : base_(groups, outputs, inputs) {
        check_bits("bits", bits, 8);
        for (int b = 3; b <= bits; ++b) planes_.emplace_back(groups, outputs, inputs);
    }

    index_t groups() const { return base_.groups(); }
    index_t outputs() const { return base_.outputs(); }
    index_t inputs() const { return base_.inputs(); }
    int bits() const { return 2 + static_cast<int>(planes_.size()); }

    const base_panels& base() const { return base_; }
    // What bit `bits`, from 3 on, adds.
    const plane_panels& plane(int bits) const {
        check_bits("plane", bits, this->bits(), 3);
        return planes_[std::size_t(bits - 3)];
    }

    // Bits that a weight takes at a width, scales and padding included.
    double bits_per_weight(int bits) const {
        check_bits("bits", bits, this->bits());
        double sum = base_.bits_per_weight();
        for (int b = 3; b <= bits; ++b) sum += plane(b).bits_per_weight();
        return sum;
    }

    // Rounds one expert, a row-major [N,K] matrix. moments: m of each input, or empty.
    template <class U>
    void assign(index_t g, matrix_view<U> w, std::span<const double> moments = {}) {
        if (!moments.empty()) detail::require_size("moments", moments, std::size_t(inputs()));
        base_.assign(g, w);
        matrix<float> rest(outputs(), inputs());
        const auto subtract = [&](const auto& codes) {
            for (index_t n = 0; n < outputs(); ++n) {
                for (index_t k = 0; k < inputs(); ++k) rest(n, k) -= codes(g, n, k);
            }
        };
        for (index_t n = 0; n < outputs(); ++n) {
            for (index_t k = 0; k < inputs(); ++k) rest(n, k) = static_cast<float>(w(n, k));
        }
        subtract(base_);
        for (plane_panels& plane : planes_) {
            for (index_t n = 0; n < outputs(); ++n) {
                set_signs(plane, g, n, {rest.view().row(n), std::size_t(inputs())}, moments);
            }
            subtract(plane);
        }
    }

    // Reads one expert at a width.
    template <class U>
    void read(index_t g, int bits, matrix_view<U> w) const {
        check_bits("bits", bits, this->bits());
        detail::require_shape("weights", w, outputs(), inputs());
        matrix<float> sum(outputs(), inputs());
        base_.read(g, sum.view());
        for (int b = 3; b <= bits; ++b) {
            for (index_t n = 0; n < outputs(); ++n) {
                for (index_t k = 0; k < inputs(); ++k) sum(n, k) += plane(b)(g, n, k);
            }
        }
        for (index_t n = 0; n < outputs(); ++n) {
            for (index_t k = 0; k < inputs(); ++k) w(n, k) = static_cast<U>(sum(n, k));
        }
    }

private:
    static void set_signs(plane_panels& to, index_t g, index_t n, std::span<const float> row,
                          std::span<const double> moments) {
        buffer<int> codes(static_cast<std::size_t>(to.block_inputs()));
        for (index_t b = 0; b < to.blocks(); ++b) {
            const std::size_t first = std::size_t(b * to.block_inputs()), size = std::size_t(to.block_size(b));
            const std::span<const float> r = row.subspan(first, size);
            for (std::size_t k = 0; k < size; ++k) codes[k] = r[k] < 0 ? 0 : 1;
            // A code less one half is half a sign.
            const float s = mean_magnitude(r, moments.empty() ? moments : moments.subspan(first, size));
            to.set_block(g, n, b, {2 * s, 0.5f}, {codes.data(), size});
        }
    }
    static float mean_magnitude(std::span<const float> r, std::span<const double> m) {
        double sum = 0, plain = 0, weight = 0;
        for (std::size_t k = 0; k < r.size(); ++k) {
            const double size = std::abs(double(r[k]));
            plain += size;
            if (m.empty()) continue;
            sum += m[k] * size;
            weight += m[k];
        }
        return static_cast<float>(weight > 0 ? sum / weight : plain / double(r.size()));
    }
    static void check_bits(const char* what, int bits, int most, int least = 2) {
        if (bits >= least && bits <= most) return;
        throw_value(std::string("sign_planes: ") + what,
                    std::to_string(least) + " to " + std::to_string(most), std::to_string(bits));
    }

    base_panels base_;
    std::vector<plane_panels> planes_;
};

MOE_END
