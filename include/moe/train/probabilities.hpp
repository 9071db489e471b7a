// train/probabilities: what a loss reads as the router's probabilities P [T,E], and the way of its gradient back
// SPDX-License-Identifier: Apache-2.0
//
//     scores              P = scores, as the last score step left them         dP goes to tape.d.scores
//     normalized_scores   P = scores / (row sum + 1e-20), for sigmoid routers  dP through the division to tape.d.scores
//     softmax_of_logits   P = softmax(logits), whatever the score steps did    dP through the softmax to tape.d.logits
//     route_weights       P = the weights of the routes, 0 elsewhere           dP goes to tape.d.weight
//
// Source: Switch (softmax scores), DeepSeek-V3 eq. 17-20 (normalised sigmoid), the loss of the Mixtral family (softmax of
// the logits), Shazeer et al. 2017 (importance as the sum of the gate's sparse weights). Masked tokens take no part. Sums over tokens are split by expert and run in double in ascending
// token order: the same bits on every number of threads.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/softmax_row.hpp"
#include "moe/core/tape.hpp"

MOE_BEGIN

enum class probabilities { scores, normalized_scores, softmax_of_logits, route_weights };

namespace detail {

// Which tokens a loss is about: the live ones, or those of them with one label.
struct token_filter {
    std::span<const std::uint8_t> mask;
    std::span<const index_t> label;
    index_t wanted = -1;  // -1: every label

    MOE_FN bool operator()(index_t t) const {
        const std::size_t i = static_cast<std::size_t>(t);
        return (mask.empty() || mask[i] != 0) && (wanted < 0 || label[i] == wanted);
    }

    // Where the host reads the batch; elsewhere count_tokens.
    index_t count(index_t first, index_t last) const {
        index_t n = 0;
        for (index_t t = first; t < last; ++t) n += (*this)(t) ? 1 : 0;
        return n;
    }
};

template <class T>
token_filter live_tokens(const batch<T>& in, const char* loss = "", index_t label = -1) {
    if (label >= 0 && in.label.empty() && in.tokens() > 0) {
        throw_value(std::string(loss) + ".label", "batch.label [T]", "a batch without labels");
    }
    return {in.mask, in.label, label};
}

// The experts a loss is about: those the selector chose from, without what route steps appended for what did not fit.
template <class T>
index_t loss_experts(const routing<T>& s) {
    return s.experts - s.appended;
}

// Losses over experts speak of columns and experts in one breath: product keys have fewer columns than experts.
template <class T>
void require_columns(const char* loss, const routing<T>& s, probabilities from) {
    if (from == probabilities::route_weights || s.scores.cols == loss_experts(s)) return;
    throw_value(std::string(loss) + ": columns of the scores", std::to_string(loss_experts(s)) + " (one for each expert)",
                std::to_string(s.scores.cols));
}

inline void require_finite(const char* option, double value) {
    if (value - value == 0.0) return;
    throw_value(option, "a finite number", std::to_string(value));
}

template <class T>
inline constexpr T normalized_guard = T(1e-20);

template <class T>
MOE_FN T row_sum(const T* p, index_t n) {
    T sum = T(0);
    for (index_t e = 0; e < n; ++e) sum += p[e];
    return sum;
}

// P [T,E]: a view of the scores, or taken from the backend's scratch.
template <class B, class T>
matrix_view<const T> probability_rows(B& b, const routing<T>& s, probabilities from) {
    if (from == probabilities::scores) return s.scores;
    const matrix_view<T> p = b.scratch().template take<T>(s.tokens(), loss_experts(s));
    if (from == probabilities::route_weights) {
        const routes<T> r = s.routes;
        kernels_of<B>::for_rows(b, p.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < p.cols; ++e) p(t, e) = T(0);
            for (index_t i = r.begin(t); i < r.end(t); ++i) {
                const index_t e = r.expert[std::size_t(i)];
                if (e >= 0 && e < p.cols) p(t, e) = r.weight[std::size_t(i)];
            }
        });
    } else if (from == probabilities::softmax_of_logits) {
        const matrix_view<const T> z = s.logits;
        kernels_of<B>::for_rows(b, p.rows, [=] MOE_ROW(index_t t) {
            for (index_t e = 0; e < p.cols; ++e) p(t, e) = z(t, e);
            softmax_row(p.row(t), p.cols);
        });
    } else {
        const matrix_view<const T> scores = s.scores;
        kernels_of<B>::for_rows(b, p.rows, [=] MOE_ROW(index_t t) {
            const T sum = row_sum(scores.row(t), p.cols) + normalized_guard<T>;
            for (index_t e = 0; e < p.cols; ++e) p(t, e) = scores(t, e) / sum;
        });
    }
    return p;
}

// sum[e] = sum over the tokens of [first, last) that count of p[t][e].
template <class B, class T>
void column_sums(B& b, matrix_view<const T> p, const token_filter& counts, index_t first, index_t last,
                 std::span<double> sum) {
    constexpr index_t width = 16;  // neighbours share cache lines
    kernels_of<B>::for_rows(b, (p.cols + width - 1) / width, [=] MOE_ROW(index_t block) {
        const index_t begin = block * width;
        const index_t end = begin + width < p.cols ? begin + width : p.cols;
        for (index_t e = begin; e < end; ++e) sum[std::size_t(e)] = 0.0;
        for (index_t t = first; t < last; ++t) {
            if (!counts(t)) continue;
            for (index_t e = begin; e < end; ++e) sum[std::size_t(e)] += static_cast<double>(p(t, e));
        }
    });
}

// A gradient that is the same for every token.
template <class T>
struct per_expert {
    std::span<const double> value;  // [E]
    double factor;

    MOE_FN T operator()(index_t, index_t e) const { return T(factor * value[std::size_t(e)]); }
};

template <class T, class F>
MOE_FN void add_to_weights(const routes<T>& r, index_t t, index_t experts, std::span<T> d_weight, const F& dp) {
    for (index_t i = r.begin(t); i < r.end(t); ++i) {
        const index_t e = r.expert[std::size_t(i)];
        if (e >= 0 && e < experts) d_weight[std::size_t(i)] += dp(t, e);
    }
}

// Takes dp(t, e) = dL/dP[t][e] for the tokens of [first, last) that count back to the tape.
template <class B, class T, class F>
void add_gradient(B& b, tape<T>& tape, probabilities from, matrix_view<const T> p, const token_filter& counts,
                  index_t first, index_t last, const F& dp) {
    const matrix_view<T> d = from == probabilities::softmax_of_logits ? tape.d.logits : tape.d.scores;
    const matrix_view<const T> scores = tape.routing().scores;
    const routes<T> r = tape.routing().routes;
    const std::span<T> d_weight = tape.d.weight;
    kernels_of<B>::for_rows(b, last - first, [=] MOE_ROW(index_t i) {
        const index_t t = first + i;
        if (!counts(t)) return;
        if (from == probabilities::scores) {
            for (index_t e = 0; e < p.cols; ++e) d(t, e) += dp(t, e);
        } else if (from == probabilities::route_weights) {
            add_to_weights(r, t, p.cols, d_weight, dp);
        } else {
            T mean = T(0);
            for (index_t e = 0; e < p.cols; ++e) mean += p(t, e) * dp(t, e);
            if (from == probabilities::softmax_of_logits) {
                for (index_t e = 0; e < p.cols; ++e) d(t, e) += p(t, e) * (dp(t, e) - mean);
            } else {
                const T sum = row_sum(scores.row(t), p.cols) + normalized_guard<T>;
                for (index_t e = 0; e < p.cols; ++e) d(t, e) += (dp(t, e) - mean) / sum;
            }
        }
    });
}

// The sum of value(i) for i in [0, n), in order, as the host sees it.
template <class B, class F>
double total_of(B& b, index_t n, const F& value) {
    const std::span<double> total = b.scratch().template take<double>(1);
    kernels_of<B>::for_rows(b, 1, [=] MOE_ROW(index_t) {
        double sum = 0.0;
        for (index_t i = 0; i < n; ++i) sum += value(i);
        total[0] = sum;
    });
    double on_host = 0.0;
    kernels_of<B>::copy_out(b, total, std::span<double>(&on_host, 1));
    return on_host;
}

// How many tokens of [first, last) count.
template <class B>
double count_tokens(B& b, const token_filter& counts, index_t first, index_t last) {
    return total_of(b, last - first, [=] MOE_ROW(index_t i) { return counts(first + i) ? 1.0 : 0.0; });
}

// The sum over tokens of term(t), for the tokens that count; terms are computed in any order and added in token order.
template <class B, class F>
double token_sum(B& b, index_t tokens, const token_filter& counts, const F& term) {
    const std::span<double> terms = b.scratch().template take<double>(std::size_t(tokens));
    kernels_of<B>::for_rows(b, tokens, [=] MOE_ROW(index_t t) { terms[std::size_t(t)] = counts(t) ? term(t) : 0.0; });
    return total_of(b, tokens, [=] MOE_ROW(index_t t) { return terms[std::size_t(t)]; });
}

}  // namespace detail

MOE_END
