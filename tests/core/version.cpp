// tests core/version: the numbers that CMake read are the numbers of the header
// SPDX-License-Identifier: Apache-2.0
#include "moe/core/version.hpp"

#include <string>

#include "support/catch.hpp"

TEST_CASE("the version that CMake packages is the version that the header states", "[core]") {
    const std::string stated = std::to_string(MOE_VERSION_MAJOR) + "." + std::to_string(MOE_VERSION_MINOR) + "." +
                               std::to_string(MOE_VERSION_PATCH);
    CHECK(stated == MOE_TEST_PROJECT_VERSION);
}
