// tests/support: Catch2 of either major version behind one include
// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;  // version 2 declares it in the global namespace itself
#else
#include <catch2/catch.hpp>
#endif
