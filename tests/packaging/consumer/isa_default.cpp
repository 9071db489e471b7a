// tests/packaging: compiled with the default flags
// SPDX-License-Identifier: Apache-2.0
#include "isa_report.hpp"
#include "slice.hpp"

isa_report default_isa() {
    const sums s = slice();
    return {MOE_STRING(MOE_ABI), s.y, s.dx, reinterpret_cast<const void*>(&moe::throw_shape)};
}
