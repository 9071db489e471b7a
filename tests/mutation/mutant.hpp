// tests/mutation: which of the planted mutants is active, and which were reached
// SPDX-License-Identifier: Apache-2.0
//
// MOE_MUTANT=N        mutant N is active; without it the program is the unmutated one
// MOE_REACHED=FILE    at the end, the numbers of all mutants that the program came by, one a line
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace moe_mutation {

inline int number_asked_for() {
    const char* text = std::getenv("MOE_MUTANT");
    return text == nullptr ? 0 : std::atoi(text);
}
inline const int active = number_asked_for();

struct reached_list {
    static constexpr int size = 1 << 14;
    std::atomic<bool> at[size] = {};

    ~reached_list() {
        const char* path = std::getenv("MOE_REACHED");
        std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "w");
        if (file == nullptr) return;
        for (int i = 0; i < size; ++i) {
            if (at[i]) std::fprintf(file, "%d\n", i);
        }
        std::fclose(file);
    }
};
inline reached_list reached;

constexpr bool on(int number) {
    if (std::is_constant_evaluated()) return false;
    reached.at[number].store(true, std::memory_order_relaxed);
    return number == active;
}

}  // namespace moe_mutation
