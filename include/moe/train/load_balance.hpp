// train/loss: routing and plan of a tape -> load-balance loss, gradient added to tape.d
// SPDX-License-Identifier: Apache-2.0
//
//     L = coefficient * E * sum over e of f[e] * mean over live tokens t of P[t][e]
//     f[e] = routes of e / slots of live tokens     divide_by = routes: Switch, Megatron, DeepSeek; 1 at perfect balance
//     f[e] = routes of e / live tokens              divide_by = tokens: Mixtral family, MaxText; K at perfect balance
//
// f is a constant; a dropped route is in the slots and in no f, like one that capacity_pass sent to its appended expert. P
// is what `from` names. Options:
//     scope         sequence: the same for every sequence, averaged over those with a live token (DeepSeek-V3 eq. 17-20)
//     given         counts of a global batch in place of this batch's (Qiu et al. 2025); P stays this batch's
//     groups        f is averaged over D groups of neighbouring experts (DeepSeekMoE's device balance)
//     null_experts  the last m experts are null: they share their count evenly (AdaMoE). Nulls that a route step has
//                   dropped are found as dead slots, so do not combine them with a capacity
//     cost          f[e] is multiplied by cost[e] (HMoE's size penalty; 1 everywhere changes nothing)
// Source: Fedus, Zoph, Shazeer 2021 and as named. No live token or no slot: 0 and no gradient.
// gradient      dL/dP[t][e] = coefficient * E * f[e] / live tokens, then as `from` says
// errors        columns other than experts (product keys); counts of another size; groups that do not divide E
#pragma once

#include "moe/train/probabilities.hpp"
#include "moe/train/route_counts.hpp"

MOE_BEGIN

enum class load_normaliser { routes, tokens };
enum class loss_scope { batch, sequence };

namespace detail {

// How many of the rows [from, to), whose tokens ascend, have a token below the limit.
MOE_FN inline index_t rows_below(std::span<const index_t> token, index_t from, index_t to, index_t limit) {
    index_t low = from;
    while (low < to) {
        const index_t middle = low + (to - low) / 2;
        if (token[std::size_t(middle)] < limit) low = middle + 1;
        else to = middle;
    }
    return low - from;
}

// f[e] = rows of expert e whose token lies in [first, last).
template <class B>
void count_rows(B& b, const plan_view& plan, index_t first, index_t last, std::span<double> f) {
    const std::span<const index_t> begin = plan.row_begin;
    const std::span<const index_t> token = plan.token;
    kernels_of<B>::for_rows(b, static_cast<index_t>(f.size()), [=] MOE_ROW(index_t e) {
        const index_t from = begin[std::size_t(e)];
        const index_t to = begin[std::size_t(e) + 1];
        f[std::size_t(e)] = rows_below(token, from, to, last) - rows_below(token, from, to, first);
    });
}

template <class B, class T>
double count_slots(B& b, const routes<T>& r, const token_filter& live, index_t first, index_t last) {
    return total_of(b, last - first, [=] MOE_ROW(index_t i) {
        return live(first + i) ? static_cast<double>(r.end(first + i) - r.begin(first + i)) : 0.0;
    });
}

}  // namespace detail

struct load_balance {
    static constexpr const char* name = "load_balance";

    double coefficient = 1.0;
    probabilities from = probabilities::scores;
    load_normaliser divide_by = load_normaliser::routes;
    loss_scope scope = loss_scope::batch;
    index_t groups = 0;              // D; 0: none
    index_t null_experts = 0;        // m
    expert_load given = {};          // empty: count this batch
    std::span<const double> cost = {};  // [E]; empty: 1

    // The loss, times the coefficient; its gradient is added to what `from` names.
    template <class B, class T>
    double operator()(B& b, tape<T>& tape) const {
        const routing<T>& s = tape.routing();
        check(s);
        arena_frame frame(b.scratch());
        const matrix_view<const T> p = detail::probability_rows(b, s, from);
        const std::size_t experts = std::size_t(detail::loss_experts(s));
        const work w{b.scratch().template take<double>(experts), b.scratch().template take<double>(experts),
                     b.scratch().template take_on_host<double>(experts),
                     b.scratch().template take_on_host<double>(experts)};
        if (scope == loss_scope::batch) return add_segment(b, tape, p, w, 0, s.tokens(), coefficient);
        const batch<T>& in = s.in();
        double filled = 0.0;
        for (index_t q = 0; q < in.sequences(); ++q) {
            arena_frame count(b.scratch());
            const double live =
                detail::count_tokens(b, detail::live_tokens(in), in.sequence_begin(q), in.sequence_end(q));
            filled += live > 0.0 ? 1.0 : 0.0;
        }
        double sum = 0.0;
        for (index_t q = 0; q < in.sequences(); ++q) {
            sum += add_segment(b, tape, p, w, in.sequence_begin(q), in.sequence_end(q), coefficient / filled);
        }
        return sum;
    }

private:
    struct work {
        std::span<double> f, mean;                  // [E] in the backend's memory
        std::span<double> f_on_host, mean_on_host;  // [E] where they are worked on
    };

    template <class T>
    void check(const routing<T>& s) const {
        detail::require_finite("load_balance.coefficient", coefficient);
        detail::require_columns(name, s, from);
        const index_t experts = detail::loss_experts(s);
        if (!given.count.empty()) detail::require_size("load_balance.given.count", given.count, std::size_t(experts));
        if (!cost.empty()) detail::require_size("load_balance.cost", cost, std::size_t(experts));
        if (!given.count.empty() && scope == loss_scope::sequence) {
            throw_value("load_balance.given", "scope = batch", "scope = sequence");
        }
        if (groups < 0 || (groups > 0 && experts % groups != 0)) {
            throw_value("load_balance.groups", std::string("a divisor of ") + std::to_string(experts), std::to_string(groups));
        }
        if (null_experts < 0 || null_experts >= experts) {
            throw_value("load_balance.null_experts", std::string("0 to ") + std::to_string(experts - 1),
                        std::to_string(null_experts));
        }
    }

    // The tokens [first, last).
    template <class B, class T>
    double add_segment(B& b, tape<T>& tape, matrix_view<const T> p, const work& w, index_t first, index_t last,
                       double factor) const {
        using K = kernels_of<B>;
        arena_frame frame(b.scratch());
        const routing<T>& s = tape.routing();
        const detail::token_filter live = detail::live_tokens(s.in());
        const double tokens = detail::count_tokens(b, live, first, last);
        detail::count_rows(b, tape.plan(), first, last, w.f);
        K::copy_out(b, w.f, w.f_on_host);
        share_load(w.f_on_host, detail::count_slots(b, s.routes, live, first, last), tokens);
        if (tokens == 0.0) return 0.0;
        K::copy_in(b, w.f_on_host, w.f);
        detail::column_sums(b, p, live, first, last, w.mean);
        K::copy_out(b, w.mean, w.mean_on_host);
        const double scale = factor * static_cast<double>(detail::loss_experts(s));
        double sum = 0.0;
        for (std::size_t e = 0; e < w.f.size(); ++e) sum += w.f_on_host[e] * (w.mean_on_host[e] / tokens);
        detail::add_gradient(b, tape, from, p, live, first, last, detail::per_expert<T>{w.f, scale / tokens});
        return scale * sum;
    }

    // Counts become what the loss multiplies with.
    void share_load(std::span<double> f, double slots, double tokens) const {
        if (!given.count.empty()) {
            std::copy(given.count.begin(), given.count.end(), f.begin());
            slots = given.slots;
            tokens = given.tokens;
        }
        share_among_nulls(f, slots);
        average_groups(f);
        const double divisor = divide_by == load_normaliser::routes ? slots : tokens;
        for (std::size_t e = 0; e < f.size(); ++e) {
            f[e] = divisor > 0.0 ? f[e] / divisor * (cost.empty() ? 1.0 : cost[e]) : 0.0;
        }
    }

    void share_among_nulls(std::span<double> f, double slots) const {
        if (null_experts == 0) return;
        const std::span<double> real = f.first(f.size() - std::size_t(null_experts));
        double rest = slots;
        for (const double n : real) rest -= n;
        for (double& n : f.subspan(real.size())) n = rest / null_experts;
    }

    void average_groups(std::span<double> f) const {
        if (groups == 0) return;
        const std::size_t size = f.size() / std::size_t(groups);
        for (std::size_t begin = 0; begin < f.size(); begin += size) {
            double sum = 0.0;
            for (const double n : f.subspan(begin, size)) sum += n;
            for (double& n : f.subspan(begin, size)) n = sum / static_cast<double>(size);
        }
    }
};

MOE_END
