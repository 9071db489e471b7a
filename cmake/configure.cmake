# SPDX-License-Identifier: Apache-2.0
# Gets all packages and configures build/ with tests, benchmarks and examples:
#   cmake -P cmake/configure.cmake [-- options]
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
moe_setup(NEEDS Eigen3 xsimd nlohmann_json Catch2 benchmark
  CONFIGURE -DMOE_BUILD_TESTS=ON -DMOE_BUILD_BENCH=ON -DMOE_BUILD_EXAMPLES=ON ${moe_rest})
