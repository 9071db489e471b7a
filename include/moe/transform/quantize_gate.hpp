// transform/quantize_gate: a linear gate -> one whose weights are those of fewer bits, and that routes as before
// SPDX-License-Identifier: Apache-2.0
//
//     auto [gate4, clip, nearest, error] = moe::quantize_gate<moe::int4_weights<32>>(cpu, gate, features, {.k = 2});
//
// Every expert's row is rounded under its default scales (core/quantize.hpp) times one factor f_e of 1, 0.95 .. 0.5.
// The factors are searched for
//
//     least   ||Z - Z'||^2 / T + lambda mean over tokens of KL over M(P || P')        transform/routing_kl.hpp
//
// one expert after the other, the others held, until none changes: a minimum in each factor, not over all together, and
// never above rounding to nearest, where the search starts. Ties keep the factor there is, then the larger one. The
// gate that comes back multiplies in floats, with the decoded weights; its bias is copied. Formats without a scale
// (bfloat16, float16) are rounded. Source: EAQuant 2025; the factors and lambda = 1 are ours.
// edges         weights too large for a format are NaN, and with them the errors; no tokens: rounded to nearest
// errors        features that do not fit: shape_error; features or weights that are not finite, k out of 1 .. E,
//               options out of their range: value_error
// cost          12 products of features and gate; a round takes 12 T E squares and 12 T m divergences of m experts
// memory        13 T E floats
#pragma once

#include "moe/experts/quantize_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/transform/routing_kl.hpp"

MOE_BEGIN

struct gate_rounding {
    index_t k = 1;       // experts that a token gets
    double further = 0;  // b: share of the other experts whose probabilities shall stay as well, 0 to 1
    double routing = 1;  // lambda
};

struct gate_error {
    double squares = 0;  // ||Z - Z'||^2 / T
    double kl = 0;       // mean over the tokens
};

template <class Gate>
struct quantized_gate {
    Gate gate;
    std::vector<double> clip;   // [E] factors of the default scales
    gate_error nearest, error;  // of rounding to nearest, and of this gate
};

namespace detail {

inline constexpr int clip_factors = 11;
inline double clip_factor(int i) { return 1.0 - 0.05 * i; }

// Weights [1,E,F] as codes stand for them, every default scale times a factor of its expert.
template <class W, class Factor>
panels<float> clipped_weights(const panels<float>& from, const Factor& factor) {
    matrix<float> m(from.outputs(), from.inputs());
    from.read(0, m.view());
    W codes(1, from.outputs(), from.inputs());
    if constexpr (is_quantized<W>) {
        codes.assign(0, m.view(), [&](std::span<const float> w, index_t expert, index_t) {
            const code_scale s = default_scale<typename W::format>(w);
            return code_scale{static_cast<float>(s.scale * factor(expert)), s.zero};
        });
    } else {
        codes.assign(0, m.view());
    }
    codes.packed().read(0, m.view());
    panels<float> decoded(1, from.outputs(), from.inputs());
    decoded.assign(0, m.view());
    return decoded;
}

template <class B>
matrix<float> gate_logits(B& b, const panels<float>& weight, const matrix<float>& bias, matrix_view<const float> x) {
    matrix<float> logits(x.rows, weight.outputs());
    const index_t all[2] = {0, x.rows};
    kernels_of<B>::grouped_linear(b, {all, {}}, x, weight, bias, logits.view());
    return logits;
}

// The factors, one expert after the other.
class clip_search {
public:
    clip_search(matrix<float> wanted, std::vector<matrix<float>> rounded, index_t m, double routing)
        : routing_(routing), wanted_(std::move(wanted)), rounded_(std::move(rounded)), got_(rounded_.front()),
          clip_(std::size_t(wanted_.cols()), 0) {
        for (index_t t = 0; t < wanted_.rows(); ++t) among_.push_back(foremost<float>(wanted_.view()[t], m));
    }

    void run() {
        // Costs fall strictly but for rounding, which the bound on rounds takes care of.
        bool changed = true;
        for (int round = 0; changed && round < 50; ++round) {
            changed = false;
            for (index_t e = 0; e < wanted_.cols(); ++e) changed = improve(e) || changed;
        }
    }

    int clip(index_t expert) const { return clip_[std::size_t(expert)]; }
    gate_error error() const {
        gate_error sum;
        for (index_t t = 0; t < wanted_.rows(); ++t) {
            for (index_t e = 0; e < wanted_.cols(); ++e) sum.squares += square(t, e);
            sum.kl += divergence(t);
        }
        const double tokens = std::max(1.0, double(wanted_.rows()));
        return {sum.squares / tokens, sum.kl / tokens};
    }

private:
    double square(index_t t, index_t e) const {
        const double d = double(wanted_(t, e)) - double(got_(t, e));
        return d * d;
    }
    double divergence(index_t t) const {
        return kl_among(wanted_.view()[t], got_.view()[t], among_[std::size_t(t)]);
    }

    // What depends on column e.
    double cost(index_t e) const {
        double squares = 0, kl = 0;
        for (index_t t = 0; t < wanted_.rows(); ++t) {
            squares += square(t, e);
            const auto& among = among_[std::size_t(t)];
            if (std::find(among.begin(), among.end(), e) != among.end()) kl += divergence(t);
        }
        return squares + routing_ * kl;
    }
    void take(index_t e, int factor) {
        for (index_t t = 0; t < wanted_.rows(); ++t) got_(t, e) = rounded_[std::size_t(factor)](t, e);
    }
    bool improve(index_t e) {
        const int was = clip_[std::size_t(e)];
        int& best = clip_[std::size_t(e)];
        double least = cost(e);
        for (int i = 0; i < static_cast<int>(rounded_.size()); ++i) {
            take(e, i);
            const double c = cost(e);
            if (!(c < least)) continue;
            least = c;
            best = i;
        }
        take(e, best);
        return best != was;
    }

    double routing_;
    matrix<float> wanted_;                // [T,E]
    std::vector<matrix<float>> rounded_;  // [T,E] under each factor
    matrix<float> got_;                   // [T,E] under the factors chosen so far
    std::vector<std::vector<index_t>> among_;
    std::vector<int> clip_;
};

inline index_t foremost_count(const gate_rounding& o, index_t experts) {
    if (o.k < 1 || o.k > experts) {
        throw_value("gate_rounding.k", std::string("1 to ") + std::to_string(experts), std::to_string(o.k));
    }
    if (!(o.further >= 0 && o.further <= 1)) {
        throw_value("gate_rounding.further", "0 to 1", std::to_string(o.further));
    }
    if (!(o.routing >= 0) || !std::isfinite(o.routing)) {
        throw_value("gate_rounding.routing", "a finite number of at least 0", std::to_string(o.routing));
    }
    return o.k + static_cast<index_t>(std::floor(o.further * double(experts - o.k)));
}

}  // namespace detail

// features [T,F]: what the gate sees of a calibration batch.
template <class Storage, class B, gate_math Math>
quantized_gate<linear_gate<float, Math>> quantize_gate(B& b, const linear_gate<float, Math>& gate,
                                                       input_view<float> features, const gate_rounding& o = {}) {
    using weights = typename Storage::template weights<float>;
    const index_t m = detail::foremost_count(o, gate.columns());
    detail::require_equal("quantize_gate: features columns", gate.features(), features.cols);
    detail::require_finite("quantize_gate: features", features);
    detail::require_finite<float>("quantize_gate: weight", detail::decoded_matrix(gate.weight, 0).view());
    std::vector<matrix<float>> rounded;
    for (int i = 0; i < (is_quantized<weights> ? detail::clip_factors : 1); ++i) {
        const auto clipped = detail::clipped_weights<weights>(gate.weight, [=](index_t) {
            return detail::clip_factor(i);
        });
        rounded.push_back(detail::gate_logits(b, clipped, gate.bias, features));
    }
    detail::clip_search search(detail::gate_logits(b, gate.weight, gate.bias, features), std::move(rounded), m,
                               o.routing);
    quantized_gate<linear_gate<float, Math>> to{gate, {}, search.error(), {}};
    search.run();
    to.error = search.error();
    for (index_t e = 0; e < gate.columns(); ++e) to.clip.push_back(detail::clip_factor(search.clip(e)));
    to.gate.weight = detail::clipped_weights<weights>(gate.weight, [&](index_t e) { return to.clip[std::size_t(e)]; });
    return to;
}

MOE_END
