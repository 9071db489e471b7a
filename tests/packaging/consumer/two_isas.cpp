// tests/packaging: each translation unit of a program uses its own copy of moe, compiled for its own instruction set
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "isa_report.hpp"

int main() {
    const isa_report a = default_isa();
    const isa_report b = other_isa();
    for (const isa_report& r : {a, b})
        std::printf("%s: %.6f %.6f\n", r.name, static_cast<double>(r.y), static_cast<double>(r.dx));
    if (std::strcmp(a.name, b.name) == 0) return 10;  // the flag changed nothing, so nothing was tried
    if (a.copy == b.copy) return 11;                  // one copy served both
    if (!(std::abs(a.y - b.y) < 1e-4f * a.y) || !(std::abs(a.dx - b.dx) < 1e-4f * a.dx)) return 12;
    return 0;
}
