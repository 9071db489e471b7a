// tests/packaging: compiled for another instruction set than the rest of the program
// SPDX-License-Identifier: Apache-2.0
#include "isa_report.hpp"
#include "slice.hpp"

isa_report other_isa() {
    const sums s = slice();
    return {MOE_STRING(MOE_ABI), s.y, s.dx, reinterpret_cast<const void*>(&moe::throw_shape)};
}
