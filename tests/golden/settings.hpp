// tests/golden: the backends and scalar types under test
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tuple>

#include "moe/moe.hpp"

namespace golden {

template <class Backend, class T>
struct setting {
    using backend = Backend;
    using scalar = T;
};

struct cpu_of_two_threads : moe::cpu {
    cpu_of_two_threads() : moe::cpu(moe::cpu_options{.threads = 2}) {}
};

// The reference at its most exact and the backend that users run: compiling a layer costs seconds.
using settings = std::tuple<setting<moe::reference, double>, setting<cpu_of_two_threads, float>>;

// Every backend with every scalar: for the layers that others are variants of.
#ifdef MOE_TEST_EVERY_SCALAR
using all_settings = std::tuple<setting<moe::reference, double>, setting<moe::reference, float>,
                                setting<cpu_of_two_threads, double>, setting<cpu_of_two_threads, float>>;
#else
using all_settings = settings;
#endif

}  // namespace golden
