// testing/value_laws: what scores, weights, outputs and gradients keep
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/testing/common_laws.hpp"

MOE_BEGIN
namespace testing::detail {

// What a token got: its routes' weights, else its row.
inline std::vector<double> values_of(const outcome& o, index_t t) {
    std::vector<double> values;
    if (o.routed()) {
        for (index_t i = o.offset[std::size_t(t)]; i < o.offset[std::size_t(t) + 1] && !o.weight.empty(); ++i) {
            if (o.expert[std::size_t(i)] >= 0) values.push_back(o.weight[std::size_t(i)]);
        }
    }
    for (index_t c = 0; c < o.out.cols; ++c) values.push_back(o.out(t, c));
    return values;
}

// Calls f(values of a token) for moderate inputs until it returns a sentence.
template <class F>
std::string each_token(const subject& p, const sample& s, const F& f) {
    if (!is_moderate(s)) return "";
    const outcome o = p(s);
    const index_t tokens = o.routed() ? s.tokens : o.out.rows;
    for (index_t t = 0; t < tokens && o.ok(); ++t) {
        const std::string found = f(values_of(o, t));
        if (!found.empty()) return p.token_rows ? token_text(t) + " got " + found : "the result is " + found;
    }
    return "";
}

// Moderate input gives finite results.
inline law finite(const subject& p) {
    return {"finite", [&p](const sample& s) {
                return each_token(p, s, [&p](const std::vector<double>& values) -> std::string {
                    for (const double v : values) {
                        const bool excluded = v == -std::numeric_limits<double>::infinity();
                        if (!std::isfinite(v) && !(excluded && p.makes_keys)) return number_text(v);
                    }
                    return "";
                });
            }};
}

inline law excludes(const subject& p) {
    law l{"exclusion", [&p](const sample& s) {
              return each_token(p, s, [](const std::vector<double>& values) -> std::string {
                  const bool any =
                      std::count(values.begin(), values.end(), -std::numeric_limits<double>::infinity()) != 0;
                  return any ? "-inf, which excludes an expert" : "";
              });
          }};
    if (p.traits.excludes) {
        l.exception = "excludes";
        l.evidence = "for which it writes -inf";
    }
    return l;
}

// By promise, for any bits: what came in as -inf goes out as -inf.
inline law keeps_excluded(const subject& p) {
    return {"exclusion", [&p](const sample& s) -> std::string {
                const outcome o = p(s);
                constexpr double none = -std::numeric_limits<double>::infinity();
                for (std::size_t i = 0; i < o.out.values.size() && o.ok(); ++i) {
                    if (s.scores.values[i] != none || o.out.values[i] == none) continue;
                    return token_text(index_t(i) / o.out.cols) + " got " + number_text(o.out.values[i]) +
                           " for -inf, declared keeps_excluded";
                }
                return "";
            }};
}

// What a route step promises holds for positive weights.
inline bool is_promised(const subject& p, const sample& s) {
    return (!p.drops_only && !p.keeps_choice) ||
           std::all_of(s.scores.values.begin(), s.scores.values.end(), [](double v) { return v > 0; });
}

inline law sign(const subject& p) {
    return {"sign", [&p](const sample& s) {
                return !is_promised(p, s) ? std::string()
                                          : each_token(p, s, [](const std::vector<double>& values) -> std::string {
                                                for (const double v : values) {
                                                    if (v < 0) return number_text(v) + ", declared non_negative";
                                                }
                                                return "";
                                            });
            }};
}

inline law sum(const subject& p) {
    return {"sum", [&p](const sample& s) {
                return !is_promised(p, s) ? std::string()
                                          : each_token(p, s, [&p](const std::vector<double>& values) -> std::string {
                                                double total = 0.0;
                                                for (const double v : values) total += v;
                                                if (values.empty() || close_to(total, 1.0, p.tolerance)) return "";
                                                return list_text(values) + " with the sum " + number_text(total) +
                                                       ", declared sums_to_one";
                                            });
            }};
}

// f(x + z) - f(x) - f(z) + f(0) = 0 in the rows; the weights stay.
inline law linear(const subject& p) {
    return {"linearity", [&p](const sample& s) -> std::string {
                if (!is_moderate(s)) return "";
                sample z = s, both = s, none = s;
                for (std::size_t i = 0; i < s.x.values.size(); ++i) {
                    z.x.values[i] = upstream(i);
                    both.x.values[i] += z.x.values[i];
                    none.x.values[i] = 0;
                }
                const outcome a = p(s), b = p(z), c = p(both), d = p(none);
                for (std::size_t i = 0; i < a.out.values.size() && a.ok() && b.ok() && c.ok(); ++i) {
                    const double sum = a.out.values[i] + b.out.values[i] - d.out.values[i];
                    if (close_to(sum, c.out.values[i], p.tolerance)) continue;
                    return "f(x + z) is " + number_text(c.out.values[i]) + ", f(x) + f(z) - f(0) is " +
                           number_text(sum) + " for an element of " + token_text(index_t(i) / a.out.cols);
                }
                return "";
            }};
}

// Central differences against one derivative at a time.
class differences {
public:
    differences(const subject& p, const sample& s) : p_(p), at_(s), base_(p.run(s, {0, 0xCD, true}, &analytic_)) {}

    std::string first_wrong() {
        if (!base_.ok()) return "";
        std::string found = compare(p_.reads.x, at_.x.values, analytic_.x.values);
        if (found.empty()) found = compare(p_.reads.scores, at_.scores.values, analytic_.scores.values);
        if (!found.empty() || analytic_.parameters.empty()) return found;
        std::vector<named_values> all = p_.parameters();
        for (std::size_t i = 0; i < all.size() && found.empty(); ++i) {
            found = compare(all[i].name, all[i].values, analytic_.parameters[i]);
        }
        return found;
    }

private:
    static constexpr double step = 1e-6, tolerance = 2e-5;

    double value() const {
        const outcome o = p_(at_, {0, 0xCD, true});
        return o.ok() && o.expert == base_.expert && o.offset == base_.offset ? objective(o) : not_a_number;
    }

    template <class V>
    std::string compare(const std::string& name, V&& values, const std::vector<double>& analytic) {
        for (std::size_t i = 0; i < values.size() && i < analytic.size() && !name.empty(); ++i) {
            const double before = values[i];
            const auto at = [&](double offset) {
                values[i] = before + offset;
                const double result = value();
                values[i] = before;
                return result;
            };
            const double numeric = (at(step) - at(-step)) / (2 * step);
            const double closer = (at(step / 4) - at(-step / 4)) / (step / 2);
            const double kink = (at(step) - 2 * at(0) + at(-step)) / step;
            // NaN where the choice changed: there is no derivative to compare with.
            const double doubt = std::abs(kink) + std::abs(numeric - closer);
            const bool smooth = doubt <= 1e-4 * (1 + std::abs(numeric));
            if (!smooth || std::abs(analytic[i] - numeric) <= tolerance * (1 + std::abs(numeric))) continue;
            return "d/d " + name + "[" + std::to_string(i) + "] is " + rounded(analytic[i]) +
                   ", the central difference " + rounded(numeric);
        }
        return "";
    }
    // Central differences carry about this many digits.
    static std::string rounded(double v) { return number_text(std::isfinite(v) ? std::round(v * 1e4) / 1e4 + 0.0 : v); }

    const subject& p_;
    sample at_;
    derivatives analytic_;
    outcome base_;
};

inline std::size_t parameter_count(const subject& p) {
    std::size_t count = 0;
    for (const named_values& v : p.parameters()) count += v.values.size();
    return count;
}

inline law gradient(const subject& p) {
    law l{"gradient", [&p](const sample& s) -> std::string {
              const auto near_zero = [](double v) { return std::abs(v) <= 8; };
              const index_t most = parameter_count(p) > 20 ? 2 : 5;
              if (s.tokens > most || !all_of(s, near_zero)) return "";
              return differences(p, s).first_wrong();
          }};
    if (p.traits.surrogate_gradient) {
        l.exception = "surrogate_gradient";
        l.evidence = "whose gradient differs from the central difference";
    }
    return l;
}

// The gradient of a masked token is 0, and what stands in its row has no part in the gradients of parameters.
inline law masked_gradient(const subject& p) {
    return {"mask of the gradient", [&p](const sample& s) -> std::string {
                if (s.mask.empty() || !is_moderate(s)) return "";
                derivatives clean;
                p.run(s, {0, 0xCD, true}, &clean);
                for (index_t t = 0; t < s.tokens; ++t) {
                    derivatives d;
                    if (s.live(t) || !p.run(with_row(s, t, not_a_number), {0, 0xCD, true}, &d).ok()) continue;
                    for (const table* g : {&d.x, &d.scores}) {
                        for (index_t c = 0; c < g->cols; ++c) {
                            if ((*g)(t, c) != 0)
                                return "masked " + token_text(t) + " has the gradient " + number_text((*g)(t, c));
                        }
                    }
                    if (d.parameters != clean.parameters)
                        return "masked " + token_text(t) + " changed the gradient of a parameter";
                }
                return "";
            }};
}

}  // namespace testing::detail
MOE_END
