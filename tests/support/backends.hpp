// Every backend with every scalar type it is tested with: TEMPLATE_LIST_TEST_CASE("...", "", every_backend).
#pragma once

#include <tuple>

#include "moe/backend/reference.hpp"
#if __has_include("moe/backend/cpu.hpp")
#include "moe/backend/cpu.hpp"
#endif

template <class B, class T>
struct on {
    using backend = B;
    using scalar = T;
};

using every_backend = std::tuple<on<moe::reference, float>, on<moe::reference, double>
#if __has_include("moe/backend/cpu.hpp")
                                 ,
                                 on<moe::cpu, float>, on<moe::cpu, double>
#endif
                                 >;
