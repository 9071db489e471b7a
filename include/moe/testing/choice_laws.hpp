// testing/choice_laws: what routes keep: ids, counts, exclusion, order of experts, monotony, drops, capacity
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/capacity.hpp"
#include "moe/testing/common_laws.hpp"

MOE_BEGIN
namespace testing::detail {

// Ids are -1 or in range and distinct within a token; there are no more slots than announced; dead slots weigh 0.
inline law ids(const subject& p) {
    return {"ids", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                if (!o.ok()) return "";
                if (std::int64_t(o.expert.size()) > o.most_routes) {
                    return std::to_string(o.expert.size()) + " routes, at most " + std::to_string(o.most_routes) +
                           " were announced";
                }
                for (index_t t = 0; t < s.tokens; ++t) {
                    std::set<index_t> seen;
                    for (index_t i = o.offset[std::size_t(t)]; i < o.offset[std::size_t(t) + 1]; ++i) {
                        const index_t e = o.expert[std::size_t(i)];
                        if (e < -1 || e >= o.experts) return token_text(t) + " has the id " + std::to_string(e);
                        if (e >= 0 && !seen.insert(e).second)
                            return token_text(t) + " has expert " + std::to_string(e) + " twice";
                        if (e < 0 && !o.weight.empty() && o.weight[std::size_t(i)] != 0) {
                            return token_text(t) + ": a dead slot weighs " + number_text(o.weight[std::size_t(i)]);
                        }
                    }
                }
                return "";
            }};
}

// A key of -inf is never chosen. Not for selectors whose experts are more than the columns.
inline law exclusion(const subject& p) {
    return {"exclusion", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                if (!o.ok() || o.experts != s.experts) return "";
                for (index_t t = 0; t < s.tokens; ++t) {
                    for (const index_t e : o.ids(t)) {
                        if (e < 0 || e >= s.experts) continue;
                        if (s.scores(t, e) == -std::numeric_limits<double>::infinity()) {
                            return token_text(t) + " got expert " + std::to_string(e) +
                                   ", which its key of -inf excludes";
                        }
                    }
                }
                return "";
            }};
}

// Key descending, NaN last, then the lower id: nothing that was left out stands before what was chosen.
inline law best_first(const subject& p) {
    return {"rank", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                if (!o.ok() || o.experts != s.experts || (p.traits.stochastic && s.training)) return "";
                for (index_t t = 0; t < s.tokens; ++t) {
                    const std::vector<index_t> in = o.ids(t);
                    for (index_t e = 0; e < s.experts && s.live(t); ++e) {
                        if (std::find(in.begin(), in.end(), e) != in.end()) continue;
                        const double left = s.scores(t, e);
                        if (std::isnan(left) || left == -std::numeric_limits<double>::infinity()) continue;
                        for (const index_t c : in) {
                            const double taken = s.scores(t, c);
                            if (!(std::isnan(taken) || left > taken || (left == taken && e < c))) continue;
                            return token_text(t) + " got expert " + std::to_string(c) + " of key " +
                                   number_text(taken) + " and not expert " + std::to_string(e) + " of key " +
                                   number_text(left);
                        }
                    }
                }
                return "";
            }};
}

// The experts of `b`, where expert e stands at the place of at[e], against those of `a`.
inline std::string experts_differ(const outcome& a, const outcome& b, const std::vector<index_t>& at,
                                  double tolerance) {
    const index_t experts = index_t(at.size());
    const index_t tokens = a.routed() ? index_t(a.offset.size()) - 1 : a.out.rows;
    for (index_t t = 0; t < tokens; ++t) {
        for (index_t e = 0; !a.routed() && e < experts; ++e) {
            const double x = a.out(t, at[std::size_t(e)]), y = b.out(t, e);
            if (!close_to(x, y, tolerance)) return token_text(t) + ": " + number_text(x) + " became " + number_text(y);
        }
        if (!a.routed()) continue;
        std::vector<index_t> x = a.ids(t), y = b.ids(t);
        for (index_t& e : y) e = e < experts ? at[std::size_t(e)] : e;
        std::sort(x.begin(), x.end());
        std::sort(y.begin(), y.end());
        if (x != y) return token_text(t) + ": " + list_text(x) + " became " + list_text(y);
    }
    return "";
}

inline law follows_experts(const subject& p) {
    law l{"expert order", [&p](const sample& s) -> std::string {
              if (s.experts < 2 || !is_plain(s) || (p.traits.stochastic && s.training)) return "";
              const outcome a = p(s);
              for (const std::vector<index_t>& at : {reversed(s.experts), rotated(s.experts)}) {
                  const outcome b = p(s.with_experts(at));
                  if (!a.ok() || !b.ok() || s.experts != index_t(at.size())) return "";
                  const std::string found = experts_differ(a, b, at, p.tolerance);
                  if (!found.empty()) return "with the experts in the order " + list_text(at) + ", " + found;
              }
              return "";
          }};
    if (!p.traits.expert_equivariant) {
        l.exception = "expert_equivariant = false";
        l.evidence = "for which permuting the experts does not permute the result";
    }
    return l;
}

inline law monotone(const subject& p) {
    law l{"monotony", [&p](const sample& s) -> std::string {
              if (s.tokens > 9 || !is_plain(s)) return "";
              const outcome o = p(s);
              if (!o.ok() || o.experts != s.experts) return "";
              for (index_t t = 0; t < s.tokens; ++t) {
                  for (const index_t e : o.ids(t)) {
                      for (const double by : {0.0625, 3.0}) {
                          sample raised = s;
                          raised.scores(t, e) += by;
                          const outcome after = p(raised);
                          if (!after.ok()) continue;
                          const std::vector<index_t> now = after.ids(t);
                          if (std::find(now.begin(), now.end(), e) != now.end()) continue;
                          return "raising the key of expert " + std::to_string(e) + " to " +
                                 number_text(raised.scores(t, e)) + " loses it for " + token_text(t);
                      }
                  }
              }
              return "";
          }};
    if (!p.traits.monotone) {
        l.exception = "monotone = false";
        l.evidence = "in which raising a key loses the expert";
    }
    return l;
}

// A route step that writes the choice only may make slots dead and do nothing else.
inline law drops_only(const subject& p) {
    return {"drops only", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                if (!o.ok()) return "";
                for (std::size_t i = 0; i < o.expert.size(); ++i) {
                    const index_t t = index_t(i) / s.slots;
                    const index_t before = s.live(t) ? s.expert[i] : -1;
                    if (o.expert[i] == before || o.expert[i] == -1) continue;
                    return token_text(t) + ": expert " + std::to_string(before) + " became " +
                           std::to_string(o.expert[i]);
                }
                return "";
            }};
}

// Route steps with a capacity, one scope for all: no expert takes more, none stays below while it drops, and where the
// priority is the score, nothing dropped outweighs what was kept.
template <class Part>
std::string capacity_fault(const Part& part, const sample& s, const outcome& o) {
    const capacity_options& by = part.options;
    if (by.scope != capacity_scope::batch) return "";
    index_t live = 0;
    for (index_t t = 0; t < s.tokens; ++t) live += s.live(t) ? 1 : 0;
    const index_t room = expert_capacity({by.factor, by.count, by.round, by.least, by.multiple, by.per_choice}, live,
                                         std::int64_t{live} * s.slots, s.experts);
    for (index_t e = 0; e < s.experts; ++e) {
        const std::string name = "expert " + std::to_string(e);
        const index_t taken = index_t(std::count(o.expert.begin(), o.expert.end(), e));
        if (taken > room)
            return name + " has " + std::to_string(taken) + " routes and room for " + std::to_string(room);
        double least = std::numeric_limits<double>::infinity(), lost = -least;
        for (std::size_t i = 0; i < o.expert.size(); ++i) {
            const index_t t = index_t(i) / s.slots;
            if (s.expert[i] != e || !s.live(t)) continue;
            const double weight = s.scores(t, e);
            if (o.expert[i] == e)
                least = std::min(least, weight);
            else
                lost = std::max(lost, weight);
        }
        const bool dropped = lost != -std::numeric_limits<double>::infinity();
        if (dropped && taken < room)
            return name + " has room for " + std::to_string(room - taken) + " and drops a route";
        const bool by_score = by.priority == capacity_priority::score;
        if (by_score && dropped && lost > least) {
            return name + " drops a weight of " + number_text(lost) + " and keeps one of " + number_text(least);
        }
    }
    return "";
}

inline law capacity(const subject& p) {
    return {"capacity", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                return o.ok() && is_moderate(s) ? p.capacity(s, o) : "";
            }};
}

}  // namespace testing::detail
MOE_END
