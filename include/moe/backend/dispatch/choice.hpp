// backend/dispatch: the levels in this program, and which of them to take
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "moe/backend/dispatch/processor.hpp"
#include "moe/backend/dispatch/table.hpp"
#include "moe/core/error.hpp"

MOE_BEGIN

// A level that was compiled into the program.
struct dispatch_level {
    std::string_view name;  // "x86-64-v3"
    std::string_view isa;   // of its build_info(), e.g. "avx2_fma"
    std::string_view bf16;
    std::string_view codes;
    bool runs;  // here
};

// The most demanding one last.
inline std::vector<dispatch_level> dispatch_levels() {
    std::vector<dispatch_level> levels;
    for (auto t = MOE_CROSSING_SYMBOL(moe_dispatch_levels)(); *t != nullptr; ++t) {
        levels.push_back({(*t)->level, (*t)->isa, (*t)->bf16, (*t)->codes,
                          detail::fit_of_level((*t)->level) != detail::level_fit::unable});
    }
    return levels;
}

namespace detail {

inline std::string names_of(const std::vector<dispatch_level>& levels, bool only_running) {
    std::string names;
    for (const dispatch_level& l : levels) {
        if (only_running && !l.runs) continue;
        names += (names.empty() ? "" : ", ") + std::string(l.name);
    }
    return names.empty() ? "none" : names;
}

// The level of that name; "": the best. `asked` is who asked for it.
inline const crossing::table& choose_level(const char* asked, std::string_view name) {
    const crossing::table* best = nullptr;
    for (auto t = MOE_CROSSING_SYMBOL(moe_dispatch_levels)(); *t != nullptr; ++t) {
        const level_fit fit = fit_of_level((*t)->level);
        if (name.empty() ? fit == level_fit::preferred : fit != level_fit::unable && name == (*t)->level) best = *t;
    }
    if (best != nullptr) return *best;
    const std::vector<dispatch_level> levels = dispatch_levels();
    throw_value(asked, "one of the levels in this program that the processor has (" + names_of(levels, true) + ")",
                name.empty() ? "a processor that has none of " + names_of(levels, false) : std::string(name));
}

inline const crossing::table& choose_level(std::string_view name) {
    if (!name.empty()) return choose_level("dispatched_cpu level", name);
    const char* variable = std::getenv("MOE_DISPATCH_LEVEL");
    return choose_level("MOE_DISPATCH_LEVEL", variable == nullptr ? "" : variable);
}

}  // namespace detail

MOE_END
