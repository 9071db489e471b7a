// route: every expert keeps at most C routes, the others move to the least loaded expert with room
// SPDX-License-Identifier: Apache-2.0
//
// As capacity, but a route that does not fit moves, in slot order, to the expert of its scope with the fewest routes so far
// that has room, that the token has not got yet and whose key is not -inf; ties go to the lower expert. Where there is none
// it is dropped. The weight becomes the score of the new expert: put this step right behind the selector.
// Source: rerouting of overflowing tokens, e.g. Switch's "no token left behind" and Pangu's and Megatron's overflow handling.
// gradient      dscores[t][e] += dw'[s] for a route that moved to e; none through what is dropped
// errors        as capacity; value_error for a router whose experts are not the columns of its scores
// causal        no
// cost          that of capacity, plus O(E + k) for every route that does not fit, one after the other
#pragma once

#include "moe/core/roles.hpp"
#include "moe/route/capacity_rules.hpp"

MOE_BEGIN

struct capacity_reroute {
    using role = route_step;
    static constexpr const char* name = "capacity_reroute";

    capacity_options options = {};

    // Loads count later tokens too; among experts of one load the lower takes what does not fit.
    part_traits traits() const {
        part_traits t = detail::capacity_traits(options);
        t.causal = t.expert_equivariant = false;
        return t;
    }

    template <class T>
    void check(const batch<T>&, index_t columns, index_t experts) const {
        detail::check_capacity("capacity_reroute", options);
        if (columns == experts) return;
        throw_value("capacity_reroute: experts", std::to_string(columns) + " (columns of the scores)",
                    std::to_string(experts));
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, routes_view<T> r) const {
        const auto kept = detail::within_capacity(b, s, r.offset, r.expert, r.weight, options);
        const std::span<index_t> load = b.scratch().template take<index_t>(std::size_t(s.keys.cols));
        for (std::size_t g = 0; g < kept.room.size(); ++g) {
            const index_t begin = r.offset[std::size_t(kept.first[g])];
            const index_t end = r.offset[std::size_t(kept.first[g + 1])];
            std::fill(load.begin(), load.end(), 0);
            for (index_t i = begin; i < end; ++i) {
                if (kept.fits[std::size_t(i)] != 0) ++load[std::size_t(r.expert[std::size_t(i)])];
            }
            for (index_t t = kept.first[g]; t < kept.first[g + 1]; ++t) move_token(s, r, kept, t, load, kept.room[g]);
        }
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>& after, adjoint<T>& d) const {
        kernels_of<B>::for_rows(b, before.tokens(), [was = before.routes, is = after.routes, d_weight = d.weight,
                                                     d_scores = d.scores](index_t t) {
            for (index_t i = is.begin(t); i < is.end(t); ++i) {
                const std::size_t j = std::size_t(i);
                if (is.expert[j] == was.expert[j]) continue;
                if (is.expert[j] >= 0) d_scores(t, is.expert[j]) += d_weight[j];
                d_weight[j] = T(0);
            }
        });
    }

private:
    template <class T>
    static void move_token(const routing<T>& s, routes_view<T> r, const detail::capacity_result& kept, index_t t,
                           std::span<index_t> load, index_t room) {
        const index_t first = r.offset[std::size_t(t)];
        const index_t last = r.offset[std::size_t(t) + 1];
        for (index_t i = first; i < last; ++i) {
            const std::size_t j = std::size_t(i);
            if (r.expert[j] < 0 || kept.fits[j] != 0) continue;
            index_t target = -1;
            for (index_t e = 0; e < s.keys.cols; ++e) {
                const index_t n = load[std::size_t(e)];
                if (n >= room || excluded(s.keys(t, e)) || (target >= 0 && n >= load[std::size_t(target)])) continue;
                const index_t* held = std::find(r.expert.data() + first, r.expert.data() + last, e);
                if (held == r.expert.data() + last) target = e;
            }
            r.expert[j] = target;
            if (target < 0) continue;
            r.weight[j] = s.scores(t, target);
            ++load[std::size_t(target)];
        }
    }
};

MOE_END
