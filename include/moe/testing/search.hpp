// testing/search: tries laws on inputs and shrinks an input that breaks one
// SPDX-License-Identifier: Apache-2.0
//
// A law is a function from an input to a sentence, empty if the input keeps it. An input that breaks it is made
// smaller, tokens first, then experts, mask, cuts and values, as long as it breaks the law; what is left is reported.
#pragma once

#include <functional>

#include "moe/testing/report.hpp"
#include "moe/testing/sample.hpp"

MOE_BEGIN
namespace testing {

struct law {
    std::string name;
    std::function<std::string(const sample&)> broken;
    // Set where the part takes this law back by a trait: then an input must show that it had to.
    std::string exception = {};  // the declaration, e.g. `batch_coupled`
    std::string evidence = {};   // what no input was found to do
};

namespace detail {

// 0, 1, 2, ... before negative integers, other numbers, what is not finite.
inline int complexity(double v) {
    if (!std::isfinite(v)) return 400;
    if (v != std::floor(v) || std::abs(v) > 99) return 300;
    return v < 0 || std::signbit(v) ? 100 - static_cast<int>(v) : static_cast<int>(v);
}

class shrinking {
public:
    shrinking(const law& l, sample s) : law_(l), best_(std::move(s)) {}

    sample run() {
        for (bool smaller = true; smaller && budget_ > 0;) {
            smaller = drop_tokens();
            smaller = drop_experts() || smaller;
            smaller = drop_extras() || smaller;
            smaller = simplify(&sample::scores) || smaller;
            smaller = simplify(&sample::x) || smaller;
            smaller = simplify(&sample::side) || smaller;
        }
        return best_;
    }

private:
    bool take(const sample& s) {
        if (budget_ <= 0) return false;
        --budget_;
        if (law_.broken(s).empty()) return false;
        best_ = s;
        return true;
    }
    bool drop_tokens() {
        bool any = false;
        for (index_t t = best_.tokens - 1; t >= 0; --t) any = take(best_.with_tokens(counted(best_.tokens, t))) || any;
        return any;
    }
    bool drop_experts() {
        bool any = false;
        for (index_t e = best_.experts - 1; e >= 0 && best_.experts > 1; --e) {
            any = take(best_.with_experts(counted(best_.experts, e))) || any;
        }
        return any;
    }
    bool drop_extras() {
        bool any = false;
        const auto without = [&](auto member) {
            if ((best_.*member).empty()) return;
            sample s = best_;
            (s.*member).clear();
            any = take(s) || any;
        };
        const auto zeroed = [&](auto member) {
            if (best_.*member == std::remove_cvref_t<decltype(best_.*member)>{}) return;
            sample s = best_;
            s.*member = {};
            any = take(s) || any;
        };
        const auto each_zeroed = [&](std::vector<index_t> sample::*member, index_t zero) {
            for (std::size_t i = 0; i < (best_.*member).size(); ++i) {
                if ((best_.*member)[i] == zero) continue;
                sample s = best_;
                (s.*member)[i] = zero;
                any = take(s) || any;
            }
        };
        without(&sample::mask);
        without(&sample::sequence);
        zeroed(&sample::training);
        zeroed(&sample::k);
        each_zeroed(&sample::token_id, 0);
        each_zeroed(&sample::label, 0);
        each_zeroed(&sample::expert, -1);
        return any;
    }
    bool simplify(table sample::*which) {
        bool any = false;
        const std::size_t count = (best_.*which).values.size();
        for (std::size_t i = 0; i < count; ++i) {
            const double now = (best_.*which).values[i];
            for (const double v : {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, std::round(now)}) {
                if (complexity(v) >= complexity(now)) continue;
                sample s = best_;
                (s.*which).values[i] = v;
                if (!take(s)) continue;
                any = true;
                break;
            }
        }
        return any;
    }

    const law& law_;
    sample best_;
    int budget_ = 3000;
};

}  // namespace detail

inline sample shrunk(const law& l, const sample& s) { return detail::shrinking(l, s).run(); }

// The first input that breaks each law, shrunk; for a law that a trait takes back, the lack of such an input.
inline report search(std::string part, const std::vector<law>& laws, const std::vector<sample>& inputs,
                     const table_names& names) {
    report found{std::move(part), {}};
    for (const law& l : laws) {
        bool broken = false;
        for (const sample& s : inputs) {
            broken = !l.broken(s).empty();
            if (!broken) continue;
            if (l.exception.empty()) {
                const sample least = shrunk(l, s);
                found.violations.push_back({l.name, l.broken(least), sample_text(least, names), least.seed});
            }
            break;
        }
        if (!broken && !l.exception.empty()) {
            found.violations.push_back(
                {l.name, "declares " + l.exception + ", but no input was found " + l.evidence, "", 0});
        }
    }
    return found;
}

}  // namespace testing
MOE_END
