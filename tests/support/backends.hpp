// Every backend with the scalar types it is tested with: TEMPLATE_LIST_TEST_CASE("...", "", every_backend).
// SPDX-License-Identifier: Apache-2.0
//
// The oracle in double and the fast one in float by default; MOE_TEST_EVERY_SCALAR (a CMake option) adds the other two, at
// twice the compile time.
#pragma once

#include <tuple>

#include "moe/backend/cpu.hpp"
#include "moe/backend/reference.hpp"

template <class B, class T>
struct on {
    using backend = B;
    using scalar = T;
};

#ifdef MOE_TEST_EVERY_SCALAR
using every_backend =
    std::tuple<on<moe::reference, double>, on<moe::cpu, float>, on<moe::reference, float>, on<moe::cpu, double>>;
#else
using every_backend = std::tuple<on<moe::reference, double>, on<moe::cpu, float>>;
#endif
