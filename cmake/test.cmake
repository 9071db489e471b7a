# SPDX-License-Identifier: Apache-2.0
# Sets everything up, builds and runs the tests:   cmake -P cmake/test.cmake [-- options]
# Options of setup.cmake; others go to ctest, for instance `-R test_core`. What asks the compiler a hundred times or builds
# other projects (compile errors, headers alone, packaging) is left to CI; `-- -L "packaging|compile_fail|headers|nvcc|backend|dispatch|symbols"` runs it.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
moe_setup(NEEDS Eigen3 xsimd nlohmann_json Catch2
  CONFIGURE -DMOE_BUILD_TESTS=ON -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)
moe_build(all)
moe_say_time("built")
if(NOT moe_rest)
  set(moe_rest --label-exclude "packaging|compile_fail|headers|nvcc|backend|dispatch|symbols")
endif()
moe_run("tests failed" ${CMAKE_CTEST_COMMAND} --test-dir "${moe_build_dir}" --output-on-failure --no-tests=error
  --parallel ${moe_jobs} ${moe_rest})
moe_say_time("all tests passed")
