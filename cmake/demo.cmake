# SPDX-License-Identifier: Apache-2.0
# Sets everything up and trains the digits classifier:   cmake -P cmake/demo.cmake [-- options]
# Options of setup.cmake; others go to the program, for instance `--router topp`, or `--help`.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
# The demo needs neither Catch2 nor Google Benchmark, so their folders are left out of this configuration.
moe_setup(NEEDS Eigen3 xsimd CONFIGURE -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=ON)
moe_build(digits)
moe_say_time("built")
moe_run("digits failed" "${moe_build_dir}/examples/digits" ${moe_rest})
