// testing/common_laws: what every part keeps, whatever its role
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <set>

#include "moe/testing/search.hpp"
#include "moe/testing/subject.hpp"

MOE_BEGIN
namespace testing::detail {

inline bool all_of(const sample& s, bool (*good)(double)) {
    return std::all_of(s.x.values.begin(), s.x.values.end(), good) &&
           std::all_of(s.scores.values.begin(), s.scores.values.end(), good);
}
// Small multiples of 2^-16, no two alike within a table: no ties, and sums of them are exact in any order.
inline bool is_plain(const sample& s) {
    const auto dyadic = [](double v) { return std::abs(v) <= 64 && v * 65536 == std::floor(v * 65536); };
    const auto distinct = [](const std::vector<double>& v) {
        return std::set<double>(v.begin(), v.end()).size() == v.size();
    };
    return all_of(s, dyadic) && distinct(s.x.values) && distinct(s.scores.values);
}
inline bool is_moderate(const sample& s) {
    return all_of(s, [](double v) { return std::abs(v) <= 32; });
}
inline std::string token_text(index_t t) { return "token " + std::to_string(t); }

inline sample with_row(sample s, index_t token, double value) {
    s.x.set_row(token, value);
    s.scores.set_row(token, value);
    return s;
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// The first token other than `changed`, and before it if `earlier`, whose result differs.
inline std::string other_token_differs(const outcome& a, const outcome& b, index_t changed, bool earlier) {
    if (!a.ok() || !b.ok()) return "";
    const index_t tokens = a.routed() ? index_t(a.offset.size()) - 1 : a.out.rows;
    for (index_t t = 0; t < (earlier ? changed : tokens); ++t) {
        const std::string found = t == changed ? "" : difference(a, t, b, t);
        if (!found.empty()) return token_text(t) + ": " + found;
    }
    return "";
}

inline law accepts(const subject& p) {
    return {"accepts", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                if (!o.fault.empty()) return o.fault;
                if (o.refused.empty()) return "";
                sample zeros = s;
                std::fill(zeros.x.values.begin(), zeros.x.values.end(), 0.0);
                std::fill(zeros.scores.values.begin(), zeros.scores.values.end(), 0.0);
                return p(zeros).ok() ? "refuses these values: " + o.refused : "";
            }};
}

inline std::string any_difference(const outcome& a, const outcome& b, double tolerance = 0.0) {
    if (!a.ok() || !b.ok()) return "";
    const index_t tokens = a.routed() ? index_t(a.offset.size()) - 1 : a.out.rows;
    for (index_t t = 0; t < tokens; ++t) {
        const std::string found = difference(a, t, b, t, tolerance);
        if (!found.empty()) return (a.out.rows == 1 && tokens == 1 && !a.routed() ? "" : token_text(t) + ": ") + found;
    }
    return "";
}

inline std::string prefixed(const std::string& what, const std::string& found) {
    return found.empty() ? "" : what + ": " + found;
}

inline law reproducible(const subject& p) {
    return {"reproducible", [&p](const sample& s) {
                return prefixed("a second call, in memory that held other bytes, gave another result",
                                any_difference(p(s), p(s, {0, 0x3F, false})));
            }};
}

inline law taped(const subject& p) {
    return {"taped", [&p](const sample& s) {
                return prefixed("recording changed the result", any_difference(p(s), p(s, {0, 0xCD, true})));
            }};
}

// What the selector chose, given back as the batch's replay, leads to the same routes and weights.
inline law replayable(const subject& p) {
    return {"replay", [&p](const sample& s) {
                return prefixed("the recorded choice, given back, led elsewhere",
                                any_difference(p(s), p(s, {0, 0xCD, false, true})));
            }};
}

inline law seedless(const subject& p) {
    law l{"seed", [&p](const sample& s) {
              sample other = s;
              other.seed += 1;
              other.step += 1;
              return prefixed("another seed gave another result", any_difference(p(s), p(other)));
          }};
    if (p.traits.stochastic) {
        l.exception = "stochastic";
        l.evidence = "for which another seed gives another result";
    }
    return l;
}

// Masked tokens count for nothing: a loss is the same without them.
inline std::string counted_masked(const subject& p, const sample& s, const outcome& clean) {
    const bool drawn = p.traits.stochastic && s.training;  // by the number of a token
    if (p.token_rows || drawn || !s.sequence.empty() || !is_moderate(s)) return "";
    std::vector<index_t> live;
    for (index_t t = 0; t < s.tokens; ++t) {
        if (s.live(t)) live.push_back(t);
    }
    return prefixed("without the masked tokens", any_difference(clean, p(s.with_tokens(live)), p.tolerance));
}

inline law masked(const subject& p) {
    return {"mask", [&p](const sample& s) -> std::string {
                if (s.mask.empty()) return "";
                const outcome clean = p(s);
                const std::string counted = counted_masked(p, s, clean);
                if (!counted.empty()) return counted;
                for (index_t t = 0; t < s.tokens; ++t) {
                    if (s.live(t) || !clean.ok()) continue;
                    if (clean.routed() && !clean.ids(t).empty()) return "masked " + token_text(t) + " has a route";
                    for (index_t c = 0; p.clears_masked && c < clean.out.cols; ++c) {
                        if (clean.out(t, c) != 0)
                            return "masked " + token_text(t) + " got " + number_text(clean.out(t, c));
                    }
                    const outcome spoiled = p(with_row(s, t, not_a_number));
                    const std::string found =
                        p.token_rows ? other_token_differs(clean, spoiled, t, false) : any_difference(clean, spoiled);
                    if (!found.empty()) return "NaN in masked " + token_text(t) + " changed " + found;
                }
                return "";
            }};
}

// The batch cut in two gives what it gives as a whole; with `earlier`, its first half does.
inline std::string cut_differs(const subject& p, const sample& s, bool earlier) {
    if (s.tokens < 2 || !s.sequence.empty()) return "";
    const outcome whole = p(s);
    const index_t cut = s.tokens / 2;
    std::vector<index_t> first, second;
    for (index_t t = 0; t < s.tokens; ++t) (t < cut ? first : second).push_back(t);
    sample tail = s.with_tokens(second);
    tail.first_token += std::uint64_t(cut);
    const outcome a = p(s.with_tokens(first)), b = p(tail);
    for (index_t t = 0; t < (earlier ? cut : s.tokens) && whole.ok() && a.ok() && b.ok(); ++t) {
        const std::string found = t < cut ? difference(whole, t, a, t) : difference(whole, t, b, t - cut);
        if (!found.empty()) return "cut before " + token_text(cut) + ", " + token_text(t) + ": " + found;
    }
    return "";
}

// Each of the first tokens gets other numbers: no other token may notice.
inline std::string noticed(const subject& p, const sample& s, bool earlier) {
    const std::string cut = cut_differs(p, s, earlier);
    if (!cut.empty()) return cut;
    const outcome clean = p(s);
    for (index_t t = 0; t < std::min(s.tokens, index_t{6}) && clean.ok(); ++t) {
        for (const double value : {not_a_number, 1.0, 40.0}) {
            const std::string found = other_token_differs(clean, p(with_row(s, t, value)), t, earlier);
            if (!found.empty()) return number_text(value) + " in " + token_text(t) + " changed " + found;
        }
    }
    return "";
}

inline law isolated(const subject& p) {
    law l{"isolation", [&p](const sample& s) { return noticed(p, s, false); }};
    if (p.traits.batch_coupled) {
        l.exception = "batch_coupled";
        l.evidence = "whose tokens influence one another";
    }
    return l;
}

inline law causal(const subject& p) {
    law l{"causality", [&p](const sample& s) { return noticed(p, s, true); }};
    if (!p.traits.causal) {
        l.exception = "causal = false";
        l.evidence = "in which a later token changes an earlier one";
    }
    return l;
}

// Only for plain inputs without sequences; noise is drawn by the number of a token.
inline law follows_tokens(const subject& p) {
    law l{"token order", [&p](const sample& s) -> std::string {
              if (s.tokens < 2 || !s.sequence.empty() || !is_plain(s) || (p.traits.stochastic && s.training)) return "";
              const outcome a = p(s);
              for (const std::vector<index_t>& at : {reversed(s.tokens), rotated(s.tokens)}) {
                  const outcome b = p(s.with_tokens(at));
                  if (!a.ok() || !b.ok()) return "";
                  const std::string order = "with the tokens in the order " + list_text(at);
                  if (!p.token_rows) return prefixed(order, any_difference(a, b, p.tolerance));
                  for (index_t t = 0; t < s.tokens; ++t) {
                      const std::string found = difference(a, at[std::size_t(t)], b, t, p.tolerance);
                      if (!found.empty()) return order + ", " + token_text(at[std::size_t(t)]) + ": " + found;
                  }
              }
              return "";
          }};
    if (!p.traits.token_equivariant) {
        l.exception = "token_equivariant = false";
        l.evidence = "for which permuting the tokens does not permute the result";
    }
    return l;
}

// Other numbers of threads show on several tokens only.
inline law backends(const subject& p) {
    return {"backends", [&p](const sample& s) -> std::string {
                std::vector<outcome> all{p(s)};
                for (std::size_t i = 1; i < p.backend_kind.size(); ++i) {
                    std::size_t first = 0;
                    while (p.backend_kind[first] != p.backend_kind[i]) ++first;
                    const bool kin = first != i;
                    all.push_back(kin && s.tokens < 5 ? all[first] : p(s, {i, 0xCD, false}));
                    if (!kin && !is_moderate(s) && all[i].out.cols != 0) continue;
                    const std::string found = any_difference(all[kin ? first : 0], all[i], kin ? 0.0 : p.tolerance);
                    if (!found.empty()) return "on backend " + std::to_string(i) + ", " + found;
                }
                return "";
            }};
}

}  // namespace testing::detail
MOE_END
