// testing/subject: any part behind one type, so that laws are compiled once and not once per part
// SPDX-License-Identifier: Apache-2.0
//
// `run` gives the part a sample on one of the backends, in poisoned memory, and returns what the part wrote as numbers.
// With `derivatives` it runs backward as well, for the upstream gradient `upstream(i)` of element i of what it wrote.
#pragma once

#include <functional>
#include <span>

#include "moe/core/traits.hpp"
#include "moe/testing/sample.hpp"

MOE_BEGIN
namespace testing {

struct outcome {
    std::string refused;          // a value_error or shape_error: the sample is nothing for this part
    std::string fault;            // what else went wrong: another exception, a write where it may only read
    table out;                    // [T,*] logits, scores, keys, rows by slot, y; [1,1] a loss
    std::vector<index_t> offset;  // [T+1] routes, of parts that make them
    std::vector<index_t> expert;
    std::vector<double> weight;
    table flow;                    // [T,2 columns] logits and scores of routers, which losses pull at
    index_t experts = 0;           // ids lie below
    std::int64_t most_routes = 0;  // width * T or max_routes

    bool ok() const { return refused.empty() && fault.empty(); }
    bool routed() const { return !offset.empty(); }

    std::vector<index_t> ids(index_t token) const {
        std::vector<index_t> live;
        for (index_t i = offset[std::size_t(token)]; i < offset[std::size_t(token) + 1]; ++i) {
            if (expert[std::size_t(i)] >= 0) live.push_back(expert[std::size_t(i)]);
        }
        return live;
    }
};

// dL / d of what the sample holds and of every parameter.
struct derivatives {
    table x, scores;
    std::vector<std::vector<double>> parameters;
};

struct call {
    std::size_t backend = 0;      // 0: the reference
    unsigned char poison = 0xCD;  // what free memory is filled with
    bool recording = false;       // as in training
    bool replayed = false;        // a second time, with what the selector chose given back; routers alone
};

struct named_values {
    std::string name;
    std::span<double> values;
};

struct subject {
    std::string name;
    part_traits traits;
    table_names reads;
    std::vector<std::size_t> backend_kind = {0};  // backends of one kind give the same bits
    double tolerance = 0;                         // relative, between kinds of backends
    bool trains = false;                          // has a gradient in double
    bool linear = false;                          // in x, up to a constant
    bool token_rows = true;                       // what it writes has a row or routes per token
    bool fixed_width = false;                     // a selector with the same number of slots for every token
    bool makes_keys = false;                      // logits, scores or keys: -inf excludes
    bool chooses = false;                         // a selector: keys decide
    bool drops_only = false;                      // a route step that writes the choice only
    bool keeps_choice = false;                    // a route step that writes weights only
    bool clears_masked = false;                   // masked tokens get zeros
    std::function<outcome(const sample&, const call&, derivatives*)> run;
    std::function<std::vector<named_values>()> parameters;
    std::function<std::string(const sample&, const outcome&)> capacity = {};  // of route steps with a capacity

    outcome operator()(const sample& s, call c = {}) const { return run(s, c, nullptr); }
};

inline double upstream(std::size_t i) { return 1.0 + static_cast<double>(i % 3) / 2; }

// The scalar whose derivatives are checked.
inline double objective(const outcome& o) {
    double sum = 0.0;
    for (const table* t : {&o.out, &o.flow}) {
        for (std::size_t i = 0; i < t->values.size(); ++i) {
            // What is excluded stays so: it has no part in a derivative.
            const bool excluded = t->values[i] < 0 && std::isinf(t->values[i]);
            if (!excluded) sum += upstream(i) * t->values[i];
        }
    }
    for (std::size_t i = 0; i < o.weight.size(); ++i) sum += upstream(i) * o.weight[i];
    return sum;
}

// Equal bits, or two NaN.
inline bool same(double a, double b) {
    return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}
inline bool close_to(double a, double b, double tolerance) {
    const double largest = std::max(std::abs(a), std::abs(b));
    return same(a, b) || (std::isfinite(largest) && std::abs(a - b) <= tolerance * (1 + largest));
}

// What token t of `a` got and token u of `b` did not, as a sentence; empty if they agree. Slots are compared in order.
inline std::string difference(const outcome& a, index_t t, const outcome& b, index_t u, double tolerance = 0.0) {
    const auto equal = [&](double p, double q) { return tolerance == 0.0 ? same(p, q) : close_to(p, q, tolerance); };
    if (a.routed()) {
        const std::vector<index_t> ids = a.ids(t), others = b.ids(u);
        if (ids != others) return detail::list_text(ids) + " became " + detail::list_text(others);
        std::size_t j = std::size_t(b.offset[std::size_t(u)]);
        for (index_t i = a.offset[std::size_t(t)]; i < a.offset[std::size_t(t) + 1] && !a.weight.empty(); ++i) {
            if (a.expert[std::size_t(i)] < 0) continue;
            while (b.expert[j] < 0) ++j;
            const double p = a.weight[std::size_t(i)], q = b.weight[j++];
            if (!equal(p, q)) return "weight " + number_text(p) + " became " + number_text(q);
        }
    }
    for (index_t c = 0; c < a.out.cols; ++c) {
        if (!equal(a.out(t, c), b.out(u, c))) return number_text(a.out(t, c)) + " became " + number_text(b.out(u, c));
    }
    return "";
}

}  // namespace testing
MOE_END
