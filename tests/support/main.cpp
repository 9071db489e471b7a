// tests/support: the main function of every test executable, for Catch2 of either major version
// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_RUNNER  // read by version 2 only
#include "support/catch.hpp"

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
