// testing/report: what the laws found, as a value that prints itself
// SPDX-License-Identifier: Apache-2.0
//
//     const moe::testing::report found = moe::testing::laws(my_selector{});
//     CHECK(found == moe::testing::no_violations);       Catch2 2 and 3, doctest, GoogleTest: all print through <<
//     if (!found.empty()) std::puts(found.text().c_str());      no framework
//
// The text is the same on every run: no addresses, no times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "moe/core/config.hpp"

MOE_BEGIN
namespace testing {

struct violation {
    std::string law;       // its name, as docs/contracts.md lists it
    std::string sentence;  // what was broken, in terms of the input
    std::string input;     // the smallest failing input, one name = value; per line; empty: no input shows an absence
    std::uint64_t seed = 0;

    std::string text() const {
        std::string block = law + ": " + sentence + "\n";
        std::size_t from = 0;
        while (from < input.size()) {
            const std::size_t end = input.find('\n', from);
            block += "    " + input.substr(from, end - from) + "\n";
            if (end == std::string::npos) break;
            from = end + 1;
        }
        return block;
    }
};

struct no_violations_t {};
inline constexpr no_violations_t no_violations{};

struct report {
    std::string part;
    std::vector<violation> violations;

    bool empty() const { return violations.empty(); }
    bool breaks(const std::string& law) const {
        for (const violation& v : violations) {
            if (v.law == law) return true;
        }
        return false;
    }
    std::string text() const {
        if (empty()) return part + " keeps its laws\n";
        std::string block = part + " breaks " + std::to_string(violations.size());
        block += violations.size() == 1 ? " law\n" : " laws\n";
        for (const violation& v : violations) block += v.text();
        return block;
    }
    friend bool operator==(const report& r, no_violations_t) { return r.empty(); }
};

// A template, so that this header needs no stream: any test framework that prints through << shows the text.
template <class Stream>
auto operator<<(Stream& out, const report& r) -> decltype(out << r.text()) {
    return out << r.text();
}
template <class Stream>
auto operator<<(Stream& out, no_violations_t) -> decltype(out << "") {
    return out << "no violations";
}

}  // namespace testing
MOE_END
